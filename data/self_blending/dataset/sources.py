"""The real videos that `forge` starts from: of a manifest, a labelled data set, or a plain folder.

Fakes are never forged again: a copy of a fake under the label real would teach the wrong thing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from data.datasets.digests import DigestCache
from data.datasets.groups import assign_groups
from data.datasets.layouts import read_layout
from data.datasets.layouts.listing import REAL, Entry, is_video, label_of, walk
from data.datasets.layouts.origins import with_origins
from data.datasets.manifest import SPLITS, Manifest
from data.errors import InputError, VideoError
from data.io.system_errors import reason
from data.io.tables import columns_of, to_text


@dataclass(frozen=True, kw_only=True)
class Source:
    """A real video.

    Attributes:
        name: its path as the user knows it, relative, POSIX.
        path: of the file.
        sha256: of the file.
        group: videos of one group share a person or a source.
        split: train, val, test, or "" where none is given.
        origin: as in `data.datasets.manifest.Video`.
    """

    name: str
    path: Path
    sha256: str
    group: str
    split: str
    origin: str = ""


@dataclass(kw_only=True)
class Sources:
    """All real videos, sorted by name.

    Attributes:
        videos: each file's bytes once.
        failures: by name, what could not be read.
        fakes: number of fakes passed over.
        repeated: number of files passed over whose bytes were there already.
    """

    videos: list[Source] = field(default_factory=list)
    failures: list[tuple[str, VideoError]] = field(default_factory=list)
    fakes: int = 0
    repeated: int = 0


def find_sources(
    start: Path, *, root: Path | None, out: Path, digests: DigestCache | None = None
) -> Sources:
    """Lists the real videos.

    Args:
        start: a manifest, a CSV of labels, or a folder: one with real/ and fake/ or a labels.csv
            gives its real videos, any other all of its videos.
        root: folder of a manifest's videos, where it is not the manifest's own.
        out: the folder that is written; its videos are never taken.
        digests: of files that have not changed.

    Raises:
        InputError: there is no real video.
    """
    digests = digests or DigestCache()
    found = Sources()
    known: dict[str, str] = {}  # name -> digest that the manifest promises
    if start.suffix.casefold() == ".csv" and _is_manifest(start):
        manifest = Manifest.read(start, root=root)
        entries = [
            Entry(
                path=one.path, label=one.label, group=one.group, split=one.split, origin=one.origin
            )
            for one in manifest.videos
        ]
        known = {one.path: one.sha256 for one in manifest.videos}
        root = manifest.root
    else:
        entries, root = _listed(start)
    inside = os.path.realpath(out)
    entries = [one for one in entries if not _is_below(os.path.realpath(root / one.path), inside)]
    found.fakes = sum(entry.label != REAL for entry in entries)
    _digest([entry for entry in entries if entry.label == REAL], root, known, digests, found)
    if not found.videos and not found.failures:
        passed = f", only {found.fakes} fakes" if found.fakes else ""
        raise InputError(f"{start} holds no real video{passed}; give real videos of faces")
    return found


def _is_below(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def _listed(start: Path) -> tuple[list[Entry], Path]:
    """Videos of a folder with their labels; all are real where no folder and no table says so."""
    if not start.exists():
        raise InputError(f"{start} does not exist; give a folder of real videos or a manifest")
    if start.is_file():
        listing = with_origins(*read_layout(start))
        return listing.entries, listing.root
    paths = [path.relative_to(start) for path in walk(start) if is_video(path)]
    if (start / "labels.csv").is_file() or any(
        label_of(part) is not None for path in paths for part in path.parts[:-1]
    ):
        listing = with_origins(*read_layout(start))
        return listing.entries, listing.root
    return [Entry(path=path.as_posix(), label=REAL) for path in sorted(paths)], start


def _is_manifest(path: Path) -> bool:
    """Whether a CSV is what `index` wrote, not a table of labels; a missing one counts as such."""
    return not path.is_file() or "sha256" in columns_of(path, ("path", "sha256"))


def _digest(
    entries: list[Entry], root: Path, known: dict[str, str], digests: DigestCache, found: Sources
) -> None:
    """Digests the files and fills `found`."""
    kept, sha256s = [], []
    seen: set[str] = set()
    for entry in sorted(entries, key=lambda entry: entry.path):
        name = to_text(entry.path)
        try:
            sha256 = digests.sha256(root / entry.path)
        except OSError as error:
            problem = VideoError("unreadable", f"cannot read the file: {reason(error)}")
            found.failures.append((name, problem))
            continue
        if known.get(entry.path, sha256) != sha256:
            problem = VideoError("unreadable", "the file changed since it was indexed; index again")
            found.failures.append((name, problem))
        elif sha256 in seen:
            found.repeated += 1
        else:
            seen.add(sha256)
            kept.append(entry)
            sha256s.append(sha256)
    digests.save()
    groups = assign_groups(kept, sha256s)
    for entry, sha256, group in zip(kept, sha256s, groups, strict=True):
        found.videos.append(
            Source(
                name=entry.path,
                path=root / entry.path,
                sha256=sha256,
                group=group,
                split=entry.split if entry.split in SPLITS else "",
                origin=entry.origin,
            )
        )
