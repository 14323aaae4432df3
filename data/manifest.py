"""The manifest: one row per video, the only place where labels, groups and splits live.

A plain CSV, sorted by path, so that a person can read it and a diff shows what changed.
"""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

from data.errors import InputError, OutputError

SPLITS = ("train", "val", "test")
LABEL_NAMES = ("real", "fake")
"""Name of label 0 and of label 1."""


@dataclass(frozen=True, kw_only=True)
class Video:
    """One row.

    Attributes:
        path: relative to the root, POSIX.
        label: 1 = fake, 0 = real; real and fake in the file.
        group: videos of one group share a person or a source.
        method: how a fake was made; "real" for a real one.
        split: train, val or test.
        sha256: of the file, hex.
        size_bytes: of the file.
        codec: as ffprobe names it.
        width: in pixels as shown.
        height: likewise.
        fps: average frames per second.
        duration_seconds: as declared.
        bit_rate: of the whole file, bits per second.
    """

    path: str
    label: int
    group: str
    method: str
    split: str
    sha256: str
    size_bytes: int
    codec: str
    width: int
    height: int
    fps: float
    duration_seconds: float
    bit_rate: int


COLUMNS = tuple(column.name for column in fields(Video))


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
            raise InputError(f"the manifest names a video outside its root: {video.path!r}")
        return self.root / relative

    def split(self, name: str) -> tuple[Video, ...]:
        """The videos of one split; of all for "all"."""
        return tuple(video for video in self.videos if name in ("all", video.split))

    def write(self, path: Path) -> None:
        """Writes the CSV, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for video in sorted(self.videos, key=lambda video: video.path):
            writer.writerow([_cell(name, getattr(video, name)) for name in COLUMNS])
        write_text(path, text.getvalue())

    @classmethod
    def read(cls, path: Path, *, root: Path | None = None) -> Manifest:
        """Reads the CSV and checks every cell.

        Args:
            path: of the manifest.
            root: folder that the paths start from; the manifest's own by default.

        Raises:
            InputError: no such file, or a row that cannot be meant; the line is named.
        """
        if not path.is_file():
            raise InputError(f"the manifest {path} does not exist; write it with `unmask index`")
        if root is not None and not root.is_dir():
            raise InputError(f"the folder of the videos, {root}, does not exist; see --root")
        videos = []
        try:
            with path.open(encoding="utf-8", newline="") as handle:
                reader = csv.DictReader(handle)
                lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
                if lacking:
                    raise InputError(
                        f"{path} is no manifest: it lacks the column {lacking[0]}; "
                        "write it with `unmask index`"
                    )
                for row in reader:
                    videos.append(_video(row, f"{path}, line {reader.line_num}"))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path} is not a CSV in UTF-8: {error}") from error
        if not videos:
            raise InputError(f"the manifest {path} lists no video")
        manifest = cls(root=root or path.parent, videos=tuple(videos))
        for video in videos:
            manifest.resolve(video)
        return manifest

    def summary(self) -> list[str]:
        """A table of what is in it: videos by split and label, people, minutes."""
        lines = [f"{'split':<7}{'real':>7}{'fake':>7}{'groups':>8}{'minutes':>9}"]
        for split in (*SPLITS, "all"):
            videos = self.split(split)
            labels = Counter(video.label for video in videos)
            minutes = sum(video.duration_seconds for video in videos) / 60
            groups = len({video.group for video in videos})
            lines.append(f"{split:<7}{labels[0]:>7}{labels[1]:>7}{groups:>8}{minutes:>9.1f}")
        methods = Counter(video.method for video in self.videos if video.label == 1)
        if methods:
            told = ", ".join(f"{name} {count}" for name, count in sorted(methods.items()))
            lines.append(f"methods of the fakes: {told}")
        return lines


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def problems(videos: Sequence[Video]) -> list[str]:
    """What would keep these videos from training and evaluation, as lines of warning."""
    lines = []
    for split in SPLITS:
        for label, name in enumerate(LABEL_NAMES):
            if not any(video.split == split and video.label == label for video in videos):
                lines.append(f"the split {split} has no {name} video")
    return lines


def _cell(name: str, value: object) -> str:
    """One cell, in the one form that it has."""
    if name == "label":
        return LABEL_NAMES[int(str(value))]
    return repr(value) if isinstance(value, float) else str(value)


def _video(row: dict[str, str | None], place: str) -> Video:
    """One row, checked."""
    values: dict[str, object] = {}
    for column in fields(Video):
        text = row.get(column.name)
        if text is None:
            raise InputError(f"{place}: the row is too short")
        try:
            if column.name == "label":
                values["label"] = LABEL_NAMES.index(text)
            elif column.type == "int":
                values[column.name] = int(text)
            elif column.type == "float":
                values[column.name] = float(text)
            else:
                values[column.name] = text
        except ValueError as error:
            raise InputError(f"{place}: {column.name} cannot be {text!r}") from error
    video = Video(**values)  # type: ignore[arg-type]
    if video.split not in SPLITS:
        raise InputError(f"{place}: split must be one of {', '.join(SPLITS)}, got {video.split!r}")
    if len(video.sha256) != 64 or not set(video.sha256) <= set("0123456789abcdef"):
        raise InputError(f"{place}: sha256 must be 64 hexadecimal digits, got {video.sha256!r}")
    return video
