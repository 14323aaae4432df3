"""What a scan of many videos costs besides decoding and the backbone, which are simulated.

    python benchmarks/scan.py [--videos 100000] [--embed 10000] [--folder DIR]

Two scans, each in a process of its own. The first scans videos whose features the store has: they
are digested, scored, logged in the journal and ranked. The second embeds: features of real size, 32
x 2048 float16, go into the store, video by video, and are sealed into shards. "written" counts all
bytes that the process wrote, temporary files included, without the features, which are written
twice: staged and sealed. "memory" is the peak of the process's own memory over that at the start,
without mapped shards. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

sys.path.insert(0, os.environ.get("PYTHONPATH") or str(Path(__file__).parents[1]))

from data.faces.crops import Frames
from data.video.frames import FrameRecipe
from features.store.key import Recipe, sequence_key
from features.store.shard import StoredSequence, write_shard

try:
    from data.pixels_version import PIXELS_VERSION

    PIXELS: dict[str, Any] = {"pixels_version": PIXELS_VERSION}
except ImportError:  # measured beside an unmask that had none
    PIXELS = {}

DIM = 2048
FRAMES = FrameRecipe(count=32, crop="full", size=32)
RECIPE = Recipe(
    frames=FRAMES.to_json(),
    face_detector=None,
    backbone="made up",
    backbone_digest="ab" * 32,
    **PIXELS,
)
PER_FOLDER = 1000
KNOWN_FRAMES = 2
"""Of a video in the first scan: its features are read, and never written."""


class MadeUp:
    """In the backbone's place."""

    digest = RECIPE.backbone_digest
    dim = DIM
    batch_size = 32

    def __call__(self, frames: Any) -> Any:
        return np.repeat(frames[:, 0, 0, :1].astype(np.float32), DIM, axis=1)


def read_frames(path: Path, recipe: Any = None, faces: Any = None) -> Frames:
    """In ffmpeg's place."""
    number, count = int(path.stem), FRAMES.count
    return Frames(
        pixels=np.full((count, FRAMES.size, FRAMES.size, 3), number % 251, np.uint8),
        timestamps_seconds=np.arange(count) / 25,
        boxes=np.zeros((count, 4), np.float32),
        face_found=np.ones(count, bool),
    )


def score(head: Any, features: Any, mask: Any) -> Any:
    """In the head's place."""
    return (features[:, 0, 0].astype(np.float64) + 1) / 253


def make_videos(folder: Path, count: int) -> None:
    """Files that differ, long enough ago to be remembered."""
    for number in range(count):
        path = folder / f"{number // PER_FOLDER:03d}" / f"{number:06d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
        os.utime(path, (1e9, 1e9))


def fill_store(store: Path, count: int) -> None:
    """Sealed shards with a short sequence of each video."""
    sealed = store / RECIPE.digest[:16] / "shards"
    sealed.mkdir(parents=True)
    values = np.zeros((KNOWN_FRAMES, DIM), np.float16)
    for start in range(0, count, 10_000):
        numbers = range(start, min(start + 10_000, count))
        write_shard(
            sealed / "new",
            (stored(number, values) for number in numbers),
            RECIPE,
            {},
            frame_counts=[KNOWN_FRAMES] * len(numbers),
        )
        digest = hashlib.sha256((sealed / "new").read_bytes()).hexdigest()
        (sealed / "new").rename(sealed / f"shard-{digest}.h5")


def stored(number: int, values: Any) -> StoredSequence:
    """A sequence as the store keeps it."""
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    return StoredSequence(
        sha256=sha256,
        key=sequence_key(sha256, RECIPE),
        path=f"{number}.mp4",
        features=values,
        timestamps_seconds=np.arange(len(values)) / 25,
        boxes=np.zeros((len(values), 4), np.float32),
        face_found=np.ones(len(values), bool),
    )


def made_up_bundle() -> Any:
    """A bundle whose head is never called."""
    from models.bundle import Bundle, BundledHead
    from models.configs import HeadConfig

    head = BundledHead(
        model=None, config=HeadConfig(), threshold=0.5, history=(), best_epoch=1, stop_reason=""
    )
    return Bundle(
        head=head, baseline=None, recipe=RECIPE.to_json(), dim=DIM, trained_on={}, provenance={},
        backbone="made up", versions={},
    )  # fmt: skip


def process_figure(name: str, file: str) -> int:
    """A number that the system tells of this process; sizes in kB become bytes."""
    for line in Path(f"/proc/self/{file}").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * (1024 if line.endswith("kB") else 1)
    raise KeyError(name)


class Peak:
    """The most memory of its own that this process has while the block runs, in bytes."""

    def __enter__(self) -> Peak:
        self.start = self.most = process_figure("RssAnon", "status")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self.most = max(self.most, process_figure("RssAnon", "status"))


def run_scan(root: Path) -> dict[str, float]:
    """Scans `root/videos` in this process."""
    from pipeline.inference.scan import scan_folder
    from pipeline.reporting.scan_page import render_scan

    (root / "bundle").mkdir()
    (root / "bundle" / "bundle.json").write_text("{}")
    with contextlib.ExitStack() as stack:
        for what, value in (
            ("pipeline.inference.scan.Bundle.load", lambda folder: made_up_bundle()),
            ("pipeline.inference.scan_scorer.read_frames", read_frames),
            ("pipeline.inference.scan_scorer.score_sequences", score),
            ("models.bundle.open_encoder", lambda *_, **__: MadeUp()),
        ):
            stack.enter_context(patch(what, value))
        peak = stack.enter_context(Peak())
        written = process_figure("wchar", "io")
        begun, cpu = time.monotonic(), time.process_time()
        scan_folder(
            root / "bundle", root / "videos", root / "scan", store=root / ".unmask" / "store",
            retry=False, workers=2, render=render_scan,
        )  # fmt: skip
        return {
            "seconds": time.monotonic() - begun,
            "cpu_seconds": time.process_time() - cpu,
            "written_mb": (process_figure("wchar", "io") - written) / 1e6,
            "memory_mb": (peak.most - peak.start) / 1e6,
        }


@contextlib.contextmanager
def a_folder(parent: Path | None, count: int) -> Iterator[Path]:
    """A folder with so many videos, removed afterwards."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        make_videos(Path(name) / "videos", count)
        yield Path(name)


def main() -> None:
    """Prints a table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=100_000, help="of the first scan")
    parser.add_argument("--embed", type=int, default=10_000, help="videos of the second scan")
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's")
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    print(
        f"{'scan':10}{'videos':>9}{'shards':>8}{'written MB':>12}{'CPU s':>8}{'wall s':>8}{'MB':>7}"
    )
    for name, count in (("known", arguments.videos), ("embedded", arguments.embed)):
        if not count:
            continue
        with a_folder(arguments.folder, count) as root:
            if name == "known":
                fill_store(root / ".unmask" / "store", count)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                told = pool.apply(run_scan, (root,))
            shards = [one.stat().st_size for one in root.glob(".unmask/store/*/shards/*")]
            told["shards"] = len(shards)
        if name == "embedded":
            told["written_mb"] -= 2 * sum(shards) / 1e6
        print(
            f"{name:10}{count:9}{told['shards']:8}{told['written_mb']:12.1f}"
            f"{told['cpu_seconds']:8.1f}{told['seconds']:8.1f}{told['memory_mb']:7.0f}",
            flush=True,
        )
        figures |= {f"{name}_{key}": round(value, 1) for key, value in told.items()}
    print(json.dumps({"videos": arguments.videos, "embed": arguments.embed, **figures}))


if __name__ == "__main__":
    main()
