"""Renders the embedded demo data set: talking people, each once real and once a rendered forgery.

Nothing is downloaded and nobody real is shown. The set is made so that the file says nothing about
the label: a fake is a second take of the same person with its own motion, light, background, camera
and length, encoded by the same settings. `demo_*` modules paint; this one plans, writes and labels.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.demo_expression import Face
from data.demo_face import render
from data.demo_forgery import METHODS, Method, draw_forgery, forge
from data.demo_motion import perform
from data.demo_person import Person, draw_person
from data.demo_portrait import draw_light, paint_portrait
from data.demo_scene import Shot, draw_camera
from data.errors import ConfigError, InputError, OutputError, ToolError, VideoError
from data.ffmpeg import encode

VERSION = 1
"""Version of the renderer; it changes whenever the same settings would give other pixels."""
RECORD = "demo.json"
LABELS = "labels.csv"
DONORS = 12
"""People among whom a swap looks for a donor of similar skin."""


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """What the demo data set holds.

    Attributes:
        people: number of people; each gives one real video and one fake.
        seed: of everything that is drawn; equal settings give equal bytes on one machine.
        seconds: mean length of a video; single ones vary by 20 % either way.
        fps: frames per second.
        width: of the frames in pixels, even.
        height: of the frames in pixels, even; the face fills about half of it.
        crf: quality of the H.264 encoder, the same for every video; lower is better.

    Raises:
        ConfigError: if a value is out of range.
    """

    people: int = 60
    seed: int = 0
    seconds: float = 2.6
    fps: float = 25.0
    width: int = 320
    height: int = 240
    crf: int = 23

    def __post_init__(self) -> None:
        _check("people", self.people, 1, 10_000)
        _check("seed", self.seed, 0, 2**32 - 1)
        _check("seconds", self.seconds, 0.2, 600)
        _check("fps", self.fps, 1, 120)
        _check("crf", self.crf, 0, 51)
        for name, pixels in (("width", self.width), ("height", self.height)):
            _check(name, pixels, 96, 2160)
            if pixels % 2:
                raise ConfigError(f"demo {name} must be even, got {pixels}")


@dataclass(frozen=True, kw_only=True)
class DemoSummary:
    """What `write_demo` left in the folder.

    Attributes:
        folder: where.
        videos: number of videos, half of them real.
        rendered: how many of them this call rendered; 0 if all were there.
        size_bytes: of all videos together.
        methods: number of fakes by forgery.
    """

    folder: Path
    videos: int
    rendered: int
    size_bytes: int
    methods: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Take:
    """One video to render: whose, and by which forgery (None: real)."""

    person: int
    method: Method | None

    @property
    def group(self) -> str:
        return f"person_{self.person:03d}"

    @property
    def label(self) -> str:
        return "real" if self.method is None else "fake"

    @property
    def path(self) -> str:
        """Relative to the folder, POSIX."""
        return f"{self.label}/{self.group}.mp4"


def write_demo(folder: Path, config: DemoConfig, *, workers: int, progress: bool) -> DemoSummary:
    """Writes the demo data set: real/*.mp4, fake/*.mp4, labels.csv and demo.json.

    Videos appear one by one under their final names; an interrupted run goes on where it stopped,
    and a finished folder is left as it is.

    Args:
        folder: made if missing.
        config: what to render.
        workers: processes that render; 1 renders in this one.
        progress: shows a progress bar.

    Raises:
        ConfigError: if `workers` is below 1.
        InputError: if the folder holds anything but this very data set.
        OutputError: if it cannot be written.
        ToolError: if ffmpeg is missing or fails.
    """
    _check("workers", workers, 1, 1024)
    takes = plan(config)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _claim(folder, config, takes)
        for label in ("real", "fake"):
            (folder / label).mkdir(exist_ok=True)
        missing = [take for take in takes if not (folder / take.path).is_file()]
        _render_all(folder, config, missing, workers=workers, progress=progress)
        if missing or not (folder / LABELS).is_file():
            _write(folder / LABELS, _labels(takes))
        size_bytes = sum((folder / take.path).stat().st_size for take in takes)
    return DemoSummary(
        folder=folder,
        videos=len(takes),
        rendered=len(missing),
        size_bytes=size_bytes,
        methods=dict(Counter(take.method for take in takes if take.method is not None)),
    )


def plan(config: DemoConfig) -> list[Take]:
    """Lists every video of the data set; forgeries are dealt out evenly, in a drawn order."""
    rng = np.random.default_rng((config.seed, 0))
    dealt = [METHODS[index % len(METHODS)] for index in range(config.people)]
    methods = [dealt[int(index)] for index in rng.permutation(config.people)]
    reals = [Take(person=person, method=None) for person in range(config.people)]
    fakes = [Take(person=person, method=method) for person, method in enumerate(methods)]
    return reals + fakes


def render_take(take: Take, config: DemoConfig) -> Iterator[NDArray[np.uint8]]:
    """Renders one video.

    Yields:
        frames, (height, width, 3) uint8 RGB; at least 2.
    """
    # Both takes of a person are as long as each other and come from the same camera, whose noise
    # decides the bit rate: within any set of people the labels then share one distribution of
    # sizes. All else is drawn anew for each take.
    shared = np.random.default_rng((config.seed, 1, take.person))
    person = draw_person(shared)
    camera = draw_camera(shared)
    frames = max(2, round(config.seconds * config.fps * shared.uniform(0.8, 1.2)))
    rng = np.random.default_rng((config.seed, 2, take.person, 0 if take.method is None else 1))
    portrait = paint_portrait(person, draw_light(rng))
    performance = perform(rng, frames=frames, fps=config.fps)
    shot = Shot(width=config.width, height=config.height)
    scene, forging = rng.spawn(2)
    if take.method is None:
        face = Face(portrait)
        return render(
            portrait,
            performance,
            lambda index: face.show(performance.expression(index)),
            camera,
            shot,
            scene,
        )
    forged = forge(
        forging,
        draw_forgery(forging, take.method),
        host=portrait,
        donor=_donor(forging, person),
        performance=performance,
        fps=config.fps,
    )
    return render(portrait, performance, forged, camera, shot, scene)


def _donor(rng: np.random.Generator, host: Person) -> Person:
    """Draws the person whose skin is nearest to the host's: nobody swaps very unlike faces."""
    candidates = [draw_person(rng) for _ in range(DONORS)]
    return min(candidates, key=lambda other: float(np.abs(np.log(other.skin / host.skin)).sum()))


def _claim(folder: Path, config: DemoConfig, takes: list[Take]) -> None:
    """Makes sure that the folder is empty or holds this data set, finished or not."""
    record = {"format": "unmask demo", "version": VERSION, "config": asdict(config)}
    ours = {take.path for take in takes} | {RECORD, LABELS}
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not path.is_dir() and not path.name.startswith(".")
    }
    if RECORD in found:
        try:
            before: Any = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if before != record:
            raise InputError(
                f"{folder} holds a demo data set made with other settings; "
                "delete it or choose another folder"
            )
        found.discard(RECORD)
    elif found:
        raise InputError(f"{folder} is not empty ({min(found)}); choose a new or empty folder")
    if strange := sorted(found - ours):
        raise InputError(
            f"{folder} holds a file that the demo did not write ({strange[0]}); "
            "move it away or choose another folder"
        )
    if not (folder / RECORD).is_file():
        _write(folder / RECORD, json.dumps(record, indent=2, sort_keys=True) + "\n")


def _render_all(
    folder: Path, config: DemoConfig, takes: list[Take], *, workers: int, progress: bool
) -> None:
    """Renders the takes into their files, in this process or several."""
    bar = tqdm(total=len(takes), desc="demo", unit="video", disable=None if progress else True)
    with bar:
        if workers == 1 or len(takes) < 2:
            for take in takes:
                _raise(_render_file(folder, take, config))
                bar.update()
            return
        # Spawned, not forked: the caller may hold threads (TensorFlow's, for one).
        pool = ProcessPoolExecutor(
            min(workers, len(takes)), mp_context=get_context("spawn"), initializer=_ignore_interrupt
        )
        try:
            jobs: list[Future[str | None]] = [
                pool.submit(_render_file, folder, take, config) for take in takes
            ]
            for job in as_completed(jobs):
                _raise(job.result())
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _render_file(folder: Path, take: Take, config: DemoConfig) -> str | None:
    """Renders and encodes one video; returns what went wrong in the encoder, if anything.

    A message rather than an exception: not every error survives the way between processes.
    """
    try:
        encode(folder / take.path, render_take(take, config), fps=config.fps, crf=config.crf)
    except VideoError as error:
        return f"{take.path}: {error}"
    return None


def _raise(message: str | None) -> None:
    if message is not None:
        raise ToolError(f"the demo video could not be encoded: {message}")


def _ignore_interrupt() -> None:
    """Leaves Ctrl-C to the parent, which lets the videos in flight finish."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _labels(takes: list[Take]) -> str:
    """The CSV that `unmask index` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "group", "method"])
    for take in sorted(takes, key=lambda take: take.path):
        writer.writerow([take.path, take.label, take.group, take.method or "real"])
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    """Writes a small file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turns the system's refusals into one line."""
    try:
        yield
    except FileExistsError as error:
        raise InputError(f"{folder} must be a folder, got a file") from error
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigError(f"demo {name} must be from {least} to {most}, got {value}")
