"""From a folder of videos to a manifest: find, digest, probe, group, split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from data.digests import DigestCache
from data.errors import DatasetError, InputError, VideoError
from data.groups import assign_groups
from data.layouts import read_layout
from data.layouts.listing import Entry
from data.manifest import LABEL_NAMES, Manifest, Video, problems
from data.probe import VideoInfo, probe
from data.split import SplitConfig, split_groups


@dataclass(frozen=True, kw_only=True)
class BadVideo:
    """A labelled file that is no readable video."""

    path: str
    error: VideoError


@dataclass(frozen=True, kw_only=True)
class IndexResult:
    """What `index` found.

    Attributes:
        manifest: all readable videos.
        layout: the layout that was read.
        failures: labelled files that are no readable video.
        not_videos: number of other files.
        unlabelled: videos without a label.
        warnings: what will keep these videos from training.
    """

    manifest: Manifest
    layout: str
    failures: tuple[BadVideo, ...]
    not_videos: int
    unlabelled: tuple[str, ...]
    warnings: tuple[str, ...]


def index(
    root: Path,
    *,
    layout: str = "auto",
    split: SplitConfig,
    workers: int,
    digests: DigestCache | None = None,
    progress: bool | None = None,
) -> IndexResult:
    """Finds, digests, probes, groups and splits the videos below a root.

    Args:
        root: folder of a data set, or a CSV.
        layout: name of a layout, or "auto".
        split: shares and seed.
        workers: files looked into at once.
        digests: of files that have not changed.
        progress: show a bar; None shows it on a terminal.

    Raises:
        ConfigError: unknown layout.
        InputError: nothing to index.
        DatasetError: one video under both labels, or a group in two given splits.
    """
    name, listing = read_layout(root, layout)
    digests = digests or DigestCache()

    def look(entry: Entry) -> tuple[str, VideoInfo] | VideoError:
        path = listing.root / entry.path
        try:
            return digests.sha256(path), probe(path)
        except VideoError as error:
            return error
        except OSError as error:
            return VideoError("unreadable", f"cannot read the file: {error.strerror}")

    quiet = None if progress is None else not progress
    with ThreadPoolExecutor(workers) as pool:
        looked = list(
            tqdm(
                pool.map(look, listing.entries),
                total=len(listing.entries),
                desc="index",
                unit="video",
                disable=quiet,
            )
        )
    digests.save()
    entries, facts, failures = [], [], []
    for entry, found in zip(listing.entries, looked, strict=True):
        if isinstance(found, VideoError):
            failures.append(BadVideo(path=entry.path, error=found))
        else:
            entries.append(entry)
            facts.append(found)
    if not entries:
        raise InputError(
            f"none of the {len(failures)} files below {root} is a readable video; "
            f"the first, {failures[0].path}: {failures[0].error}"
        )
    sha256s = [sha256 for sha256, _ in facts]
    _refuse_two_labels(entries, sha256s)
    groups = assign_groups(entries, sha256s)
    splits = _splits(entries, groups, split)
    videos = [
        Video(
            path=entry.path,
            label=entry.label,
            group=group,
            method=entry.method,
            split=splits[group],
            sha256=sha256,
            size_bytes=info.size_bytes,
            codec=info.codec,
            width=info.width,
            height=info.height,
            fps=info.fps,
            duration_seconds=info.duration_seconds,
            bit_rate=info.bit_rate,
        )
        for entry, group, (sha256, info) in zip(entries, groups, facts, strict=True)
    ]
    return IndexResult(
        manifest=Manifest(root=listing.root, videos=tuple(videos)),
        layout=name,
        failures=tuple(failures),
        not_videos=listing.not_videos,
        unlabelled=tuple(listing.unlabelled),
        warnings=tuple(problems(videos)),
    )


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


def _splits(entries: Sequence[Entry], groups: Sequence[str], config: SplitConfig) -> dict[str, str]:
    """The split of each group: the data set's own where it has one."""
    given: dict[str, Entry] = {}
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for entry, group in zip(entries, groups, strict=True):
        kinds[group].add(entry.method)
        if entry.split:
            other = given.setdefault(group, entry)
            if other.split != entry.split:
                raise DatasetError(
                    f"the group {group} is in two splits: {other.path} in {other.split}, "
                    f"{entry.path} in {entry.split}; a person must be on one side only"
                )
    free = {group: tuple(sorted(kind)) for group, kind in kinds.items() if group not in given}
    return split_groups(free, config) | {group: entry.split for group, entry in given.items()}
