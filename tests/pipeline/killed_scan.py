"""Whole scans in processes that tests kill: real store, journal and pages, a fake backbone.

    python -m tests.pipeline.killed_scan BUNDLE VIDEOS

Reads requests from stdin, a line of JSON each, and forks a process for each, which runs `unmask
scan` in the folder `cwd` and, if the request names a moment, sends itself a signal there. A line of
stdout says how it ended. Importing what a scan needs takes seconds, so it is done once, without
TensorFlow.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

CHUNK = 5
SHARD_BYTES = 1500
"""Some eight videos: shards end elsewhere than chunks."""
DIM = 12
BACKBONE = "ab" * 32


class Nothing:
    """In the place of TensorFlow and Keras, which a scan with a made-up head never calls."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (object,)


def without_tensorflow() -> None:
    """Puts nothing in the place of `models.tf_runtime`; before anything imports it."""
    quiet = ModuleType("models.tf_runtime")
    nothing = Nothing()
    for name in ("keras", "tf", "seed_everything", "limit_threads"):
        setattr(quiet, name, nothing)
    sys.modules["models.tf_runtime"] = quiet


if __name__ == "__main__":
    without_tensorflow()

from data.errors import VideoError  # noqa: E402
from data.faces.crops import Frames  # noqa: E402
from data.video.frames import FrameRecipe  # noqa: E402
from features.store.key import Recipe  # noqa: E402

FRAMES = FrameRecipe(crop="full", count=4, size=32, minimum_frames=4)
RECIPE = Recipe(
    frames=FRAMES.to_json(), face_detector=None, backbone="fake", backbone_digest=BACKBONE
)


class Colour:
    """A quick stand-in for the backbone; exact, whatever the batch."""

    digest = BACKBONE
    dim = DIM
    batch_size = 8

    def __call__(self, frames: Any) -> Any:
        return np.repeat(frames[:, 0, 0, :1].astype(np.float32), DIM, axis=1)


def note(log: Path, word: str, path: Path) -> None:
    """A line that a kill cannot cut."""
    with log.open("ab", buffering=0) as handle:
        handle.write(f"{word} {path.name}\n".encode())


def read(log: Path, path: Path, recipe: Any = None, faces: Any = None) -> Frames:
    """In ffmpeg's place: a file's first byte is its colour."""
    note(log, "begun", path)
    content = path.read_bytes()
    if content.startswith(b"bad"):
        raise VideoError("unreadable", "no video at all")
    return Frames(
        pixels=np.full((4, 32, 32, 3), content[0], np.uint8),
        timestamps_seconds=np.arange(4) / 25,
        boxes=np.zeros((4, 4), np.float32),
        face_found=np.ones(4, bool),
    )


def bundle() -> Any:
    """A bundle whose head is never called."""
    from models.bundle import Bundle, BundledHead
    from models.configs import HeadConfig

    head = BundledHead(
        model=None, config=HeadConfig(), threshold=0.5, history=(), best_epoch=1, stop_reason=""
    )
    return Bundle(
        head=head, baseline=None, recipe=RECIPE.to_json(), dim=DIM,
        trained_on={"train": {"sha256s": [], "groups": []}}, provenance={}, backbone="fake",
        versions={},
    )  # fmt: skip


Kill = Callable[[], None]


def before(
    owner: Any, name: str, kill: Kill, when: Callable[..., bool] = lambda *_, **__: True
) -> None:
    """Calls `kill` each time before a function is called with arguments that are meant."""
    real = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        if when(*arguments, **options):
            kill()
        return real(*arguments, **options)

    setattr(owner, name, call)


def after(
    owner: Any, name: str, kill: Kill, when: Callable[..., bool] = lambda *_, **__: True
) -> None:
    """Likewise, when it has returned."""
    real = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        result = real(*arguments, **options)
        if when(*arguments, **options):
            kill()
        return result

    setattr(owner, name, call)


def half_written(folder: str, kill: Kill) -> None:
    """In the middle of a file of the store: half of a block is on the disk."""
    from features.store.sink import Sink

    real = os.pwrite

    def pwrite(descriptor: int, content: Any, offset: int) -> int:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.parent.name == folder and offset and len(content) > 1:
            real(descriptor, content[: len(content) // 2], offset)
            kill()
        return real(descriptor, content, offset)

    assert Sink.write.__globals__["os"] is os
    os.pwrite = pwrite


def half_a_line(kill: Kill) -> None:
    """In the middle of the journal: two rows and a half."""
    from pipeline.inference.scan_journal import Journal

    real = Journal.add

    def add(self: Any, rows: Any) -> None:
        rows = list(rows)
        length = self._path.stat().st_size
        real(self, rows)
        lines = self._path.read_bytes()[length:].splitlines(keepends=True)
        os.truncate(self._path, length + len(b"".join(lines[:2])) + len(lines[2]) // 2)
        kill()
        os.truncate(self._path, length)
        self._file.seek(0, os.SEEK_END)
        real(self, rows)

    Journal.add = add  # type: ignore[method-assign]


def in_the_digests(kill: Kill) -> None:
    """While digests are saved: pages of the file are replaced, and nothing is committed."""
    from data.io import digest_table

    digest_table.SETTINGS += ("PRAGMA cache_size = 1", "PRAGMA cache_spill = 1")
    real = digest_table.DigestTable._connect

    def connect(self: Any, *, create: bool) -> Any:
        connection = real(self, create=create)
        if create:
            connection.set_trace_callback(lambda told: kill() if told == "COMMIT" else None)
        return connection

    digest_table.DigestTable._connect = connect  # type: ignore[method-assign]


def is_for(name: str) -> Callable[..., bool]:
    """Whether `os.replace` gives a file this name."""
    return lambda source, target: Path(target).name == name


def moments() -> dict[str, Callable[[Kill], None]]:
    """Name of a moment -> what to do so that `kill` is called then."""
    from features.store.store import FeatureStore
    from pipeline.inference.scan_journal import Journal

    found: dict[str, Callable[[Kill], None]] = {
        "before anything is staged": partial(before, FeatureStore, "stage"),
        "a staged file half written": partial(half_written, "staging"),
        "a video staged": partial(after, FeatureStore, "stage"),
        "a shard half written": partial(half_written, "shards"),
        "a shard named, its videos still staged": partial(after, os, "replace",
            when=lambda source, target: Path(target).name.startswith("shard-")),
        "a shard's videos half unstaged": partial(after, os, "unlink",
            when=lambda path, **_: Path(path).parent.name == "staging"),
        "a chunk scored, not in the journal": partial(before, Journal, "add"),
        "a line of the journal half written": half_a_line,
        "a chunk in the journal": partial(after, Journal, "add"),
        "digests half saved": in_the_digests,
        "before the last shard": partial(before, FeatureStore, "finish"),
        "after the last shard": partial(after, FeatureStore, "finish"),
    }  # fmt: skip
    for name in ("scan.json", "scores.csv", "scan.html"):
        found[f"before {name} is replaced"] = partial(before, os, "replace", when=is_for(name))
        found[f"after {name} is replaced"] = partial(after, os, "replace", when=is_for(name))
    return found


STEPS = ("replace", "fsync", "unlink", "pwrite")


def any_step(kill: Kill) -> None:
    """At each change of the disk."""
    for name in STEPS:
        before(os, name, kill)


def run(request: dict[str, Any], source: Path, videos: Path) -> None:
    """Runs a scan in this process, which ends with it."""
    import models.bundle
    import pipeline.inference.scan
    import pipeline.inference.scan_scorer
    from pipeline.cli.app import app

    os.chdir(request["cwd"])
    log = Path(request["log"])
    chunk = pipeline.inference.scan_scorer
    pipeline.inference.scan.CHUNK = request.get("chunk", CHUNK)
    pipeline.inference.scan.SHOW_SECONDS = -1.0  # tables and page after each chunk
    pipeline.inference.scan.Bundle.load = lambda folder: bundle()  # type: ignore[method-assign]
    chunk.versions = lambda: {"test": "1"}
    chunk.read_frames = partial(read, log)
    chunk.score_sequences = lambda head, features, mask: features[:, 0, 0].astype(float) / 256
    models.bundle.open_encoder = lambda *_, **__: Colour()
    chunk.FeatureStore = partial(chunk.FeatureStore, shard_bytes=SHARD_BYTES)
    left = request.get("count", 1)

    def kill() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), request["signal"])

    if (moment := request.get("moment")) is not None:
        (moments() | {"any step": any_step})[moment](kill)
    workers = str(request.get("workers", 2))
    app(["scan", str(source), str(videos), "-o", "scan", "--workers", workers], prog_name="unmask")


def main() -> None:
    """Serves requests until stdin ends."""
    import pipeline.inference.scan  # noqa: F401

    source, videos = Path(sys.argv[1]), Path(sys.argv[2])
    print(json.dumps({"moments": list(moments())}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            code = 70
            try:
                told = os.open(request["told"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                os.dup2(told, 1)
                os.dup2(told, 2)
                run(request, source, videos)
            except SystemExit as error:
                code = int(error.code or 0)
            except BaseException:  # noqa: BLE001 - told to the one who asked
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"code": status}), flush=True)


if __name__ == "__main__":
    main()
