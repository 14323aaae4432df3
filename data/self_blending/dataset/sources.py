"""The real videos that `forge` starts from: of a manifest, a labelled data set, or a plain folder.

Fakes are never forged again: a copy of a fake would get the label real.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data.datasets.digests import DigestCache
from data.datasets.groups import assign_groups
from data.datasets.layouts import read_layout
from data.datasets.layouts.listing import REAL, Entry, find_videos, label_of
from data.datasets.manifest import SPLITS, Manifest
from data.datasets.origins import with_origins
from data.errors import InputError, VideoError
from data.io.system_errors import reason
from data.io.tables import columns_of, to_text


@dataclass(frozen=True, kw_only=True)
class Source:
    """A real video."""

    name: str  # its path, relative to the input, POSIX
    path: Path  # of the file
    sha256: str  # of the file
    group: str  # videos of one group share a person or a source
    split: str  # train, val, test, or "" where none is given
    origin: str = ""  # as in `data.datasets.manifest.Video`


@dataclass(frozen=True, kw_only=True)
class Sources:
    """All real videos of an input."""

    videos: list[Source]  # sorted by name, each file's bytes once
    failures: list[tuple[str, VideoError]]  # by name, what could not be read
    fakes: int  # number of fakes passed over
    repeated: int  # number of files passed over whose bytes were there already


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
    known: dict[str, str] = {}  # path -> sha256 in the manifest
    if start.suffix.casefold() == ".csv" and _is_manifest(start):
        manifest = Manifest.read(start, root=root)
        names = ("path", "label", "group", "split", "origin")
        entries = [Entry(**{name: getattr(one, name) for name in names}) for one in manifest.videos]
        known = {one.path: one.sha256 for one in manifest.videos}
        root = manifest.root
    else:
        entries, root = _listed(start)
    inside = os.path.realpath(out)
    entries = [
        one for one in entries if not Path(os.path.realpath(root / one.path)).is_relative_to(inside)
    ]
    reals = sorted((one for one in entries if one.label == REAL), key=lambda one: one.path)
    sources = _digest(reals, root, known, digests or DigestCache(), fakes=len(entries) - len(reals))
    if not sources.videos and not sources.failures:
        passed = f", only {sources.fakes} fakes" if sources.fakes else ""
        raise InputError(f"{start} holds no real video{passed}; give real videos of faces")
    return sources


def _listed(start: Path) -> tuple[list[Entry], Path]:
    """Videos with labels, and their root; all are real where no folder and no table has labels."""
    if not start.exists():
        raise InputError(f"{start} does not exist; give a folder of real videos or a manifest")
    if start.is_dir() and not (start / "labels.csv").is_file():
        paths = find_videos(start).videos
        if all(label_of(part) is None for path in paths for part in PurePosixPath(path).parts[:-1]):
            return [Entry(path=path, label=REAL) for path in paths], start
    listing = with_origins(*read_layout(start))
    return listing.entries, listing.root


def _is_manifest(path: Path) -> bool:
    """Whether a CSV is what `index` wrote, not a table of labels; True for a missing one."""
    return not path.is_file() or "sha256" in columns_of(path, ("path", "sha256"))


def _digest(
    entries: list[Entry], root: Path, known: dict[str, str], digests: DigestCache, *, fakes: int
) -> Sources:
    """Digests the files; a repeated one is passed over, an unreadable or changed one fails."""
    kept: dict[str, Entry] = {}  # by sha256
    failures = []
    repeated = 0
    for entry in entries:
        try:
            sha256 = digests.sha256(root / entry.path)
        except OSError as error:
            problem = f"cannot read the file: {reason(error)}"
            failures.append((to_text(entry.path), VideoError("unreadable", problem)))
            continue
        except VideoError as error:
            failures.append((to_text(entry.path), error))
            continue
        if known.get(entry.path, sha256) != sha256:
            problem = "the file changed since it was indexed; index again"
            failures.append((to_text(entry.path), VideoError("unreadable", problem)))
        elif sha256 in kept:
            repeated += 1
        else:
            kept[sha256] = entry
    digests.save()
    groups = assign_groups(list(kept.values()), list(kept))
    videos = [
        Source(
            name=entry.path,
            path=root / entry.path,
            sha256=sha256,
            group=group,
            split=entry.split if entry.split in SPLITS else "",
            origin=entry.origin,
        )
        for (sha256, entry), group in zip(kept.items(), groups, strict=True)
    ]
    return Sources(videos=videos, failures=failures, fakes=fakes, repeated=repeated)
