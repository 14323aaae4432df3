"""From a folder of videos to a manifest: find, digest, probe, group, split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.datasets.digests import DigestCache
from data.datasets.groups import assign_groups
from data.datasets.layouts import read_layout
from data.datasets.layouts.listing import Entry, Listing
from data.datasets.manifest import LABEL_NAMES, Manifest, Video, problems
from data.datasets.method_filter import filter_listing
from data.datasets.near_duplicates import near_duplicate_pairs, video_hashes
from data.datasets.official_splits import assign_splits, straddling_warning
from data.datasets.origins import with_origins
from data.datasets.splits import SplitConfig
from data.datasets.stems import same_stem, stem_warning
from data.errors import ConfigError, DatasetError, InputError, VideoError
from data.images.formats import Kind
from data.io.progress import map_videos
from data.io.system_errors import reason
from data.io.tables import to_text
from data.video.failures import reason_of
from data.video.probe import VideoInfo

GROUPINGS = ("names", "stem")
"""What `index --group-by` takes."""
FORM_SHARE = 0.5
"""Difference of the shares of one form among reals and fakes that `index` warns of."""


@dataclass(frozen=True, kw_only=True)
class BadVideo:
    """A labelled file that is no readable video."""

    path: str
    error: VideoError


@dataclass(frozen=True, kw_only=True)
class IndexResult:
    """What `index` found."""

    manifest: Manifest  # all readable videos
    layout: str  # the layout that was read
    source: str  # where the labels come from, in words: "labels.csv", "folder names"
    failures: tuple[BadVideo, ...]  # labelled files that are no readable video
    frames: int  # how many of the videos are folders of frames
    images: int  # how many of the videos are single images
    not_videos: int  # number of other files
    left_images: int  # number of labelled single images that were not asked for
    copies: int  # folders of frames that were left out, since their video is there itself
    unlabelled: tuple[str, ...]  # videos without a label
    # What will keep these videos from training, people on both sides of a split, and names that may
    # be one person's.
    warnings: tuple[str, ...]
    missing: str = ""  # what a partial download lacks, in one line; "" for nothing


def index(
    root: Path,
    *,
    layout: str = "auto",
    split: SplitConfig,
    workers: int,
    digests: DigestCache | None = None,
    compression: Sequence[str] = (),
    methods: Sequence[str] = (),
    near_duplicates: bool = False,
    group_by: str = "names",
    images: bool = False,
    begin: Callable[[Path], None] | None = None,
) -> IndexResult:
    """Finds, digests, probes, groups and splits the videos below a root.

    Args:
        root: folder of a data set, or a CSV.
        layout: name of a layout, or "auto".
        split: shares and seed.
        workers: files looked into at once.
        digests: of files that have not changed.
        compression: only these, where the data set comes in several; all by default.
        methods: only fakes of these; all by default.
        begin: called with the data set's root once it is known, before any video is read.
        near_duplicates: put videos of the same pictures into one group; decodes each video.
        group_by: one of GROUPINGS: "names" as `data.datasets.groups` reads them; "stem" also puts
            names that differ by a number alone into one group.
        images: take single images, too, as sequences of length one.

    Raises:
        ConfigError: unknown layout, compression, method or grouping.
        InputError: nothing to index.
        DatasetError: one video under both labels, or a group in two given splits.
    """
    if group_by not in GROUPINGS:
        raise ConfigError(f"--group-by must be {' or '.join(GROUPINGS)}, got {group_by!r}")
    chosen, listing = read_layout(root, layout, images=images)
    if begin is not None:
        begin(listing.root)
    listing = with_origins(chosen, listing)
    if compression or methods:
        listing = filter_listing(listing, compression=compression, methods=methods)
    looked = _look(listing, digests or DigestCache(), workers=workers)
    entries, infos, failures = [], [], []
    for entry, found in zip(listing.entries, looked, strict=True):
        if isinstance(found, VideoError):
            failures.append(BadVideo(path=to_text(entry.path), error=found))
        else:
            entries.append(entry)
            infos.append(found)
    if not entries:
        raise InputError(
            f"none of the {len(failures)} files below {root} is a readable video; "
            f"the first, {failures[0].path}: {reason_of(failures[0].error)}"
        ) from failures[0].error
    sha256s = [sha256 for sha256, _ in infos]
    _refuse_two_labels(entries, sha256s)
    same: list[tuple[int, int]] = []
    if near_duplicates:
        files = [listing.root / entry.path for entry in entries]
        hashes = video_hashes(files, workers=workers)
        same = [(one, other) for one, other, _ in near_duplicate_pairs(hashes)]
    if group_by == "stem":
        same += same_stem(entries)
    groups = assign_groups(entries, sha256s, same=same)
    splits = assign_splits(entries, groups, split, official=listing.official)
    videos = [
        Video(
            path=entry.path,
            label=entry.label,
            group=group,
            method=entry.method,
            split=part,
            sha256=sha256,
            size_bytes=info.size_bytes,
            codec=info.codec,
            width=info.width,
            height=info.height,
            fps=info.fps,
            duration_seconds=info.duration_seconds,
            bit_rate=info.bit_rate,
            target=entry.target,
            source=entry.source,
            original=entry.original,
            compression=entry.compression,
            origin=entry.origin,
        )
        for entry, group, part, (sha256, info) in zip(entries, groups, splits, infos, strict=True)
    ]
    shares = {"train": 1.0, "val": split.validation, "test": split.test}
    wanted = [name for name in shares if shares[name] or name in splits]
    return IndexResult(
        manifest=Manifest(root=listing.root, videos=tuple(videos)),
        layout=chosen,
        source=listing.source,
        failures=tuple(failures),
        frames=sum(info.kind == "frames" for _, info in infos),
        images=sum(info.kind == "image" for _, info in infos),
        not_videos=listing.not_videos,
        left_images=len(listing.images),
        copies=listing.copies,
        unlabelled=tuple(listing.unlabelled),
        warnings=(
            *problems(videos, wanted),
            *forms_warning(entries, infos),
            *straddling_warning(entries, splits),
            *stem_warning(entries, groups),
        ),
        missing="; ".join(f"{one.what}: {one.count}" for one in listing.missing),
    )


def forms_warning(entries: Sequence[Entry], infos: Sequence[tuple[str, VideoInfo]]) -> list[str]:
    """A line of warning where reals and fakes come in different forms, which gives labels away."""
    forms: dict[Kind, str] = {
        "video": "video files",
        "frames": "folders of frames",
        "image": "single images",
    }
    shares: dict[int, dict[Kind, float]] = {}
    for label in (0, 1):
        kinds = [
            info.kind for entry, (_, info) in zip(entries, infos, strict=True)
            if entry.label == label
        ]  # fmt: skip
        if not kinds:
            return []
        shares[label] = {kind: kinds.count(kind) / len(kinds) for kind in forms}
    for kind, words in forms.items():
        real, fake = shares[0][kind], shares[1][kind]
        if abs(real - fake) > FORM_SHARE:
            return [
                f"{real:.0%} of the real and {fake:.0%} of the fake ones are {words}: a detector "
                "may learn the form instead of the forgery; take one form for both"
            ]
    return []


def _look(
    listing: Listing, digests: DigestCache, *, workers: int
) -> list[tuple[str, VideoInfo] | VideoError]:
    """Digests and probes every file, some at once: ffprobe is a process of its own."""

    def look(entry: Entry) -> tuple[str, VideoInfo] | VideoError:
        try:
            return digests.probe(listing.root / entry.path)
        except VideoError as error:
            return error
        except OSError as error:
            return VideoError("unreadable", f"cannot read the file: {reason(error)}")

    try:
        return map_videos(look, listing.entries, workers=workers, desc="index")
    finally:
        digests.save()  # after Ctrl-C, too


def _refuse_two_labels(entries: Sequence[Entry], sha256s: Sequence[str]) -> None:
    """One file cannot be real and fake."""
    first: dict[str, Entry] = {}
    for entry, sha256 in zip(entries, sha256s, strict=True):
        other = first.setdefault(sha256, entry)
        if other.label != entry.label:
            raise DatasetError(
                f"{other.path} ({LABEL_NAMES[other.label]}) and {entry.path} "
                f"({LABEL_NAMES[entry.label]}) are the same file; remove one of them"
            )
