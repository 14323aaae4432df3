"""How fast is `unmask forge`, from files to files and in memory? Prints a table.

    python benchmarks/forge.py [--videos DIR] [--seconds 4] [--workers 2]

Without --videos the demo's real people are rendered at 640x360. It measures the whole command
(decode, find faces and landmarks, forge, encode copy and forgery), counted in forged frames per
second of wall time, once without and once with cached surveys of the faces, and `forge_clip` alone
on face crops of 224 pixels, as fine-tuning uses it, in one process. The last line is one JSON
object: forge_frames_per_second, from nothing; forge_kept_frames_per_second;
landmarks_cpu_ms_per_crop, the median of five; forge_clip_ms_per_crop.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.datasets.layouts.listing import is_video
from data.demo import DemoConfig, write_demo
from data.faces.crops import crop_faces
from data.faces.landmarks import LandmarkFinder
from data.faces.tracker import FaceFinder
from data.self_blending.clip import draw_parameters, forge_clip
from data.self_blending.dataset import ForgeConfig, forge
from data.self_blending.dataset.survey import read_clip

SIZE = 224
MARGIN = 1.3
CROPS = 32
SEEDS = 40


def from_files(videos: Path, config: ForgeConfig, workers: int) -> dict[str, float]:
    """Forges a folder from nothing, then again at another quality with the surveys kept."""
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        for key, chosen in (("cold", config), ("kept", config.replace(crf=config.crf - 1))):
            start = time.perf_counter()
            summary = forge(videos, Path(name), chosen, workers=workers)
            forged = summary.frames / (1 + config.copies) * config.copies
            figures[key] = forged / (time.perf_counter() - start)
    return figures


def in_memory(video: Path) -> dict[str, float]:
    """Milliseconds a frame of finding landmarks (CPU) and of forging, on face crops."""
    frames, times, _ = read_clip(video, seconds=10, max_side=1280)
    frames, times = frames[:CROPS], times[:CROPS]
    track = FaceFinder().follow(frames, times)
    crops, _ = crop_faces(frames, track.boxes, margin=MARGIN, size=SIZE)
    inset = (SIZE - SIZE / MARGIN) / 2
    box = np.asarray([inset, inset, SIZE - inset, SIZE - inset], np.float32)
    finder = LandmarkFinder()
    boxes = np.tile(box, (len(crops), 1))
    found = finder.find(crops, boxes, times)  # loads the model
    spent = []
    for _ in range(5):
        start = time.process_time()
        finder.find(crops, boxes, times)
        spent.append(time.process_time() - start)
    figures = {"landmarks": float(np.median(spent)) * 1000 / len(crops)}
    for method in ("blend", "reenact", "rebuild"):
        start = time.perf_counter()
        for seed in range(SEEDS):
            parameters = draw_parameters(seed, method)  # type: ignore[arg-type]
            forge_clip(crops, found.points, parameters, timestamps_seconds=times)
        figures[method] = (time.perf_counter() - start) * 1000 / SEEDS / len(crops)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        videos = arguments.videos
        if videos is None:
            demo = DemoConfig(people=6, seconds=arguments.seconds, width=640, height=360)
            write_demo(Path(name) / "demo", demo, workers=arguments.workers)
            videos = Path(name) / "demo" / "real"
        config = ForgeConfig(seconds=arguments.seconds)
        whole = from_files(videos, config, arguments.workers)
        alone = in_memory(next(path for path in sorted(videos.rglob("*")) if is_video(path)))
    workers = arguments.workers
    print(f"{'forged frames/s, ' + str(workers) + ' workers, from nothing':44}{whole['cold']:8.1f}")
    print(f"{'the same, faces already found':44}{whole['kept']:8.1f}")
    print(f"{'landmarks, CPU ms a crop':44}{alone['landmarks']:8.2f}")
    for method in ("blend", "reenact", "rebuild"):
        print(f"{'forge_clip ' + method + ', ms a crop':44}{alone[method]:8.2f}")
    figures = {
        "forge_frames_per_second": round(whole["cold"], 2),
        "forge_kept_frames_per_second": round(whole["kept"], 2),
        "landmarks_cpu_ms_per_crop": round(alone["landmarks"], 2),
        "forge_clip_ms_per_crop": round(
            float(np.mean([alone[name] for name in ("blend", "reenact", "rebuild")])), 3
        ),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
