"""Which video of the manifest a row of a foreign file means.

Other programs name videos by absolute paths of their own machines, by folders of frames, or by
keys. Paths are compared from their end, without the folders `frames` and `videos`, without the
ending of a video and without regard to case: a row and a video agree where the whole of the shorter
one is the end of the longer one. So `/data/FF++/…/c23/frames/000_003/007.png` is a frame of
`manipulated_sequences/Deepfakes/c23/videos/000_003.mp4`, and `fake/a` is not `real/a.mp4`. By name,
the file name alone has to agree. A row that may mean several videos is an error, never a guess.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from data.datasets.layouts.listing import VIDEO_SUFFIXES
from data.datasets.manifest import LABEL_NAMES, Video
from data.errors import InputError, MismatchError
from pipeline.score_files.records import Match, ScoreRow

SKIPPED = frozenset(("frames", "videos", "", "."))
"""Folders that are left out of a comparison."""
IMAGES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"))


class Matcher:
    """Finds videos for rows; what has been found once is remembered.

    Args:
        videos: of the manifest.
        match: by what; see `Match`.
    """

    def __init__(self, videos: Sequence[Video], match: Match) -> None:
        self._videos, self._match = videos, match
        self._by_path = {video.path: index for index, video in enumerate(videos)}
        self._parts = [_parts(video.path) for video in videos]
        self._by_name: defaultdict[str, list[int]] = defaultdict(list)
        for index, parts in enumerate(self._parts):
            self._by_name[parts[-1]].append(index)
        self._found: dict[tuple[str, int | None, str, str], int | None] = {}

    def find(self, row: ScoreRow, place: str) -> tuple[int | None, str]:
        """The video of a row, None where the manifest has none, and the frame of it.

        Raises:
            InputError: it may be one of several videos.
            MismatchError: the row has another label than the manifest.
        """
        text, frame = row.video, row.frame
        index = self._by_path.get(text)
        if index is None:
            cut = max(text.rfind("/"), text.rfind("\\"))
            if cut > 0 and PurePosixPath(text[cut + 1 :]).suffix.casefold() in IMAGES:
                text, frame = text[:cut], f"{text[cut + 1 :]} {frame}".rstrip()
            key = (text, row.label, row.method, row.compression)
            if key not in self._found:
                self._found[key] = self._search(text, row, place)
            index = self._found[key]
        if index is not None and row.label not in (None, self._videos[index].label):
            raise MismatchError(
                f"{place}: {row.video!r} is {LABEL_NAMES[row.label or 0]} in the file and "
                f"{LABEL_NAMES[self._videos[index].label]} in the manifest; is its label a score "
                "(--columns score=label)? Else correct one of them"
            )
        return index, frame

    def _search(self, text: str, row: ScoreRow, place: str) -> int | None:
        parts = _parts(text)
        if not parts:
            return None
        named = self._by_name.get(parts[-1], [])
        found = [index for index in named if _agree(parts, self._parts[index])]
        if self._match == "name" and len(found) != 1:
            found = [one for one in named if row.label in (None, self._videos[one].label)]
        found = self._narrow(found, row)
        if len(found) > 1:
            first, second = (self._videos[index].path for index in found[:2])
            raise InputError(
                f"{place}: {row.video!r} may be {first} or {second}; write the paths of the "
                "manifest, or more folders of them"
            )
        return found[0] if found else None

    def _narrow(self, found: list[int], row: ScoreRow) -> list[int]:
        """Fewer of several videos, by what else the row says."""
        for wanted, of in (
            (row.compression.casefold(), lambda one: one.compression.casefold()),
            ("" if row.label is None else str(row.label), lambda one: str(one.label)),
            (_letters(row.method), lambda one: _letters(one.method)),
        ):
            if len(found) > 1 and wanted:
                found = [one for one in found if of(self._videos[one]) == wanted] or found
        return found


def _parts(path: str) -> tuple[str, ...]:
    """The folders and the name that are compared."""
    folders = path.casefold().replace("\\", "/").split("/")
    name = folders[-1]
    stem = PurePosixPath(name)
    if stem.suffix in VIDEO_SUFFIXES or stem.suffix in IMAGES:
        folders[-1] = stem.stem
    return tuple(part for part in folders if part not in SKIPPED)


def _agree(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether the shorter is the end of the longer."""
    count = min(len(one), len(other))
    return one[-count:] == other[-count:]


def _letters(text: str) -> str:
    """Without regard to case, blanks and dashes."""
    return "".join(one for one in text.casefold() if one.isalnum())
