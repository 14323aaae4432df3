"""Writes the embedded demo data set: talking people, each once real and once a rendered forgery.

Nothing is downloaded and nobody real is shown. The set is made so that the files say nothing about
the label: a fake is a second take of the same person with its own motion, light and background,
filmed by the same camera and encoded by the same settings. `take` renders; this module writes the
videos and labels, and refuses a folder with other files.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data.demo.take import DemoConfig, Take, plan, render_take
from data.errors import ConfigError, InputError, StoreError, ToolError, VideoError
from data.io.atomic_files import as_json, make_folder, write_text
from data.io.output_paths import check_out_folder
from data.io.processes import job_runner
from data.io.progress import progress
from data.io.reading import read_json
from data.io.system_errors import writing
from data.io.tables import to_csv
from data.video.encoding import encode

VERSION = 4
"""Version of the renderer; it changes whenever the same settings would give other pixels."""
RECORD = "demo.json"
LABELS = "labels.csv"
PRESET = "veryfast"
"""Of x264: 2 ms a frame where its default takes 5, and rendering takes 9."""


@dataclass(frozen=True, kw_only=True)
class DemoSummary:
    """What `write_demo` left in the folder."""

    folder: Path  # where
    videos: int  # number of videos, half of them real
    rendered: int  # how many of them this call rendered; 0 if all were there
    size_bytes: int  # of all videos together
    methods: dict[str, int]  # number of fakes by forgery


def write_demo(folder: Path, config: DemoConfig, *, workers: int) -> DemoSummary:
    """Writes the demo data set: real/*.mp4, fake/*.mp4, labels.csv and demo.json.

    Videos appear one by one under their final names; an interrupted run goes on where it stopped,
    and a finished folder is left as it is.

    Args:
        folder: made if missing.
        config: what to render.
        workers: processes that render; 1 renders in this one.

    Raises:
        ConfigError: if `workers` is below 1.
        InputError: if the folder holds anything but this very data set.
        OutputError: if it cannot be written.
        ToolError: if ffmpeg is missing or fails.
    """
    if workers < 1:
        raise ConfigError(f"demo workers must be at least 1, got {workers}")
    takes = plan(config)
    if folder.is_file():
        raise InputError(f"{folder} must be a folder, got a file in its way")
    check_out_folder(folder, files=(RECORD, LABELS))
    with writing(folder):
        make_folder(folder)
        _claim(folder, config, takes)
        for label in ("real", "fake"):
            make_folder(folder / label)
    missing = [take for take in takes if not (folder / take.path).is_file()]
    with job_runner(min(workers, len(missing)), what="rendered the demo") as run:
        jobs = {take: (folder, take, config) for take in missing}
        for _ in progress(run(_render_file, jobs), desc="demo", total=len(jobs), unit="video"):
            pass
    if not (folder / LABELS).is_file():
        write_text(folder / LABELS, to_csv(("path", "label", "group", "method"), _labels(takes)))
    size_bytes = sum((folder / take.path).stat().st_size for take in takes)
    return DemoSummary(
        folder=folder,
        videos=len(takes),
        rendered=len(missing),
        size_bytes=size_bytes,
        methods=dict(Counter(take.method for take in takes if take.method is not None)),
    )


def _claim(folder: Path, config: DemoConfig, takes: list[Take]) -> None:
    """Makes sure that the folder is empty or holds this data set, finished or not."""
    record = {"format": "unmask demo", "version": VERSION, "config": config.model_dump()}
    inside = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    # Hidden files (of git, DVC, a file manager) are passed over, as by `unmask index`.
    found = {
        path.as_posix() for path in inside if not any(part.startswith(".") for part in path.parts)
    }
    if found and RECORD not in found:
        raise InputError(f"{folder} is not empty ({min(found)}); choose a new or empty folder")
    if not found:
        write_text(folder / RECORD, as_json(record))
        return
    held = None
    with suppress(StoreError):
        held = read_json(folder / RECORD, remedy="delete the folder", damaged=StoreError)
    if held != record:
        raise InputError(
            f"{folder} holds a demo data set made with other settings; "
            "delete it or choose another folder"
        )
    ours = {take.path for take in takes} | {RECORD, LABELS}
    if strange := sorted(found - ours):
        raise InputError(
            f"{folder} holds a file that the demo did not write ({strange[0]}); "
            "move it away or choose another folder"
        )


def _render_file(folder: Path, take: Take, config: DemoConfig) -> None:
    """Renders and encodes one video."""
    try:
        frames = render_take(take, config)
        encode(folder / take.path, frames, fps=config.fps, crf=config.crf, preset=PRESET)
    except VideoError as error:
        raise ToolError(f"ffmpeg could not encode {take.path}: {error}") from error


def _labels(takes: list[Take]) -> list[dict[str, str]]:
    """The rows of the CSV that `unmask index` reads."""
    return [
        {
            "path": take.path,
            "label": take.label,
            "group": take.group,
            "method": f"rendered-{take.method}" if take.method else "real",
        }
        for take in takes
    ]
