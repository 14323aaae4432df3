"""The manifest: one row per video, the only place where labels, groups and splits live.

A plain CSV, sorted by path, so that a person can read it and a diff shows what changed.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from data.errors import InputError
from data.io.atomic_files import write_text
from data.io.tables import Table, from_text, path_in, refuse_elsewhere, to_text

SPLITS = ("train", "val", "test")
LABEL_NAMES = ("real", "fake")
"""Name of label 0 and of label 1."""


@dataclass(frozen=True, kw_only=True)
class Video:
    """One row."""

    path: str  # relative to the root, POSIX
    label: int  # 1 = fake, 0 = real; real and fake in the file
    group: str  # videos of one group share a person or a source
    method: str  # how a fake was made; "real" for a real one
    split: str  # train, val or test
    sha256: str  # of the file, hex
    size_bytes: int  # of the file
    codec: str  # as ffprobe names it
    width: int  # in pixels as shown
    height: int  # likewise
    fps: float  # average frames per second
    duration_seconds: float  # as declared
    bit_rate: int  # of the whole file, bits per second
    target: str = ""  # the person who is seen, as the data set writes it; "" if unknown
    source: str = ""  # whose face or expression a fake took over; "" if unknown
    # Path of the real video that a fake was made from, whether it is there or not.
    original: str = ""
    compression: str = ""  # "raw", "c23" ... where the data set comes in several
    origin: str = ""  # "rendered" by code, "filmed" by a camera, or "" if unknown


PUBLISHED = ("target", "source", "original", "compression")
"""Columns that published data sets fill; all are written if any video has one of them."""
ORIGIN = "origin"
"""A column that is written if any video has it."""
COLUMNS = tuple(one.name for one in fields(Video) if one.name not in (*PUBLISHED, ORIGIN))


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """The videos of a split in numbers."""

    split: str  # or "all"
    reals: int
    fakes: int
    groups: int
    minutes: float
    methods: dict[str, int]  # number of fakes by method, sorted by name

    @classmethod
    def of(cls, split: str, videos: Sequence[Video]) -> SplitCounts:
        """Counts these videos."""
        methods = Counter(video.method for video in videos if video.label)
        return cls(
            split=split,
            reals=len(videos) - methods.total(),
            fakes=methods.total(),
            groups=len({video.group for video in videos}),
            minutes=sum(video.duration_seconds for video in videos) / 60,
            methods=dict(sorted(methods.items())),
        )


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All rows, and the folder that their paths start from."""

    root: Path
    videos: tuple[Video, ...]

    def resolve(self, video: Video) -> Path:
        """The video's file; a path that would leave the root is refused.

        Raises:
            InputError: it is absolute or has "..".
        """
        relative = PurePosixPath(video.path)
        if relative.is_absolute() or ".." in relative.parts or "\0" in video.path:
            raise InputError(
                f"the manifest names a video outside its root: {video.path!r}; write paths "
                "relative to it"
            )
        return self.root / relative

    def split(self, name: str) -> tuple[Video, ...]:
        """The videos of one split; of all for "all"."""
        return tuple(video for video in self.videos if name in ("all", video.split))

    def write(self, path: Path) -> None:
        """Writes the CSV, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        columns = list(COLUMNS)
        for optional in (PUBLISHED, (ORIGIN,)):
            if any(getattr(video, name) for video in self.videos for name in optional):
                columns += optional
        lines = [",".join(columns)]
        for video in sorted(self.videos, key=lambda video: video.path):
            lines.append(",".join(_cell(name, getattr(video, name)) for name in columns))
        write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def read(cls, path: Path, *, root: Path | None = None) -> Manifest:
        """Reads the CSV and checks every cell.

        Args:
            path: of the manifest.
            root: folder that the paths start from; the manifest's own by default.

        Raises:
            InputError: no such file, or a row is invalid; the line is named.
        """
        if path.is_dir():
            raise InputError(f"{path} is a folder; give the manifest that `unmask index` wrote")
        if root is not None and not root.is_dir():
            raise InputError(f"the folder of the videos, {root}, does not exist; see --root")
        manifest = cls(root=path.parent if root is None else root, videos=())
        lines: dict[str, int] = {}
        videos = []
        table = Table(
            path,
            COLUMNS,
            missing=f"the manifest {path} does not exist; write it with `unmask index`",
        )
        lacking = [name for name in COLUMNS if name not in table.columns]
        if lacking:
            raise InputError(
                f"{path} is no manifest: it lacks the column {lacking[0]}; "
                "write it with `unmask index`"
            )
        for row in table:
            video = _video(row.cells, row.place, manifest.root)
            try:
                manifest.resolve(video)
            except InputError as error:
                raise InputError(f"{row.place}: {error}") from error
            if video.path in lines:
                raise InputError(
                    f"{row.place}: {video.path!r} is in line {lines[video.path]} already"
                )
            lines[video.path] = row.line
            videos.append(video)
        if not videos:
            raise InputError(f"the manifest {path} lists no video; write it with `unmask index`")
        return replace(manifest, videos=tuple(videos))

    def counts(self) -> list[SplitCounts]:
        """Of each split, then of all together."""
        return [SplitCounts.of(split, self.split(split)) for split in (*SPLITS, "all")]


def problems(videos: Sequence[Video], splits: Sequence[str] = SPLITS) -> list[str]:
    """What would keep videos from training and evaluation where `splits` are needed: warnings."""
    lacking = [
        name
        for label, name in enumerate(LABEL_NAMES)
        if not any(video.label == label for video in videos)
    ]
    if lacking:
        return [f"there is no {name} video; training needs both labels" for name in lacking]
    lines = []
    for split in splits:
        held = {video.label for video in videos if video.split == split}
        if not held:
            lines.append(f"the split {split} has no video")
        elif len(held) == 1:
            lines.append(f"the split {split} has no {LABEL_NAMES[1 - held.pop()]} video")
    if lines:
        groups = len({video.group for video in videos})
        lines.append(
            f"all {len(videos)} videos are in {groups} group{'s' * (groups > 1)}, and a group is "
            "never split; add people, or give groups or splits in a CSV"
        )
    return lines


def _cell(name: str, value: object) -> str:
    """One cell, in the one form that it has; Python's own quoting differs between versions."""
    if name == "label":
        return LABEL_NAMES[int(str(value))]
    text = repr(value) if isinstance(value, float) else to_text(str(value))
    if set(text) & set(',"\r\n') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def _video(row: dict[str, str], place: str, root: Path) -> Video:
    """One row, checked."""
    values: dict[str, Any] = {}
    for column in fields(Video):
        if column.name not in (*COLUMNS, *row):
            continue  # an optional column
        text = row[column.name]
        try:
            if column.name == "label":
                values["label"] = LABEL_NAMES.index(text.strip())
            elif column.type in ("int", "float"):
                values[column.name] = _amount(text.strip(), whole=column.type == "int")
            elif column.name in ("split", "sha256"):
                values[column.name] = text.strip()
            elif column.name in ("path", "original"):
                values[column.name] = path_in(text, root)
                refuse_elsewhere(values[column.name], root, place)
            else:
                values[column.name] = from_text(text)
        except ValueError as error:
            remedy = "write numbers with a point" if "," in text else "correct it, or index again"
            raise InputError(f"{place}: {column.name} cannot be {text!r}; {remedy}") from error
    video = Video(**values)
    if video.split not in SPLITS:
        raise InputError(f"{place}: split must be one of {', '.join(SPLITS)}, got {video.split!r}")
    if len(video.sha256) != 64 or not set(video.sha256) <= set("0123456789abcdef"):
        raise InputError(f"{place}: sha256 must be 64 hexadecimal digits, got {video.sha256!r}")
    return video


def _amount(text: str, *, whole: bool) -> float:
    """A number of 0 or more, as digits."""
    if not re.fullmatch(r"\d+" if whole else r"\d+(\.\d+)?([eE][+-]?\d+)?", text, re.ASCII):
        raise ValueError("no number")
    number = int(text) if whole else float(text)
    if (whole and number >= 2**63) or not math.isfinite(number):
        raise ValueError("too large")
    return number
