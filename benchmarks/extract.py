"""The speed of `extract`: do its parts run in parallel, is work repeated, is memory bounded?

    python benchmarks/extract.py [--clips FOLDER] [--backbone resnet50-thin] [--precision auto]
        [--parts wall,noop,rss]

wall: 40 clips of mixed codecs, sizes and lengths, made from the folder's (default ../shared/clips),
are decoded, searched for faces and embedded, each alone; then all together by the engine of
`extract`. noop: extracts 100,000 videos that the store already has. rss: peak memory
of `unmask extract` on a video of one hour and on one of ten seconds, both 1920x1080.

The last line is one JSON object: extract_wall_over_ideal, wall time over (CPU seconds of the parts
alone) / cores; extract_cpu_over_alone, CPU seconds of all together over those of the parts alone,
since they share caches, memory and matrix units; extract_idle_share, of the cores' time together;
precision; frames_per_second; noop_100k_seconds; rss_hour_over_10s; rss_hour_mb.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.datasets.digests import DigestCache
from data.datasets.layouts.listing import is_video, walk
from data.faces.crops import crop_faces, read_frames
from data.faces.tracker import FaceFinder
from data.video.ffmpeg import find_tools
from data.video.frames import FrameRecipe, read_pixels
from data.video.picture import whole_picture
from data.video.probe import probe
from features.extraction.engine import extract
from features.extraction.job import Job
from features.extraction.summary import where_time_went
from features.store.feature_set import publish
from features.store.key import Recipe, sequence_key
from features.store.shard import StoredSequence
from features.store.store import FeatureStore
from models.backbones.precision import Choice, choose_precision
from pipeline.extraction.inputs import make_jobs, named_videos
from pipeline.machine import cores

MAKES = (
    ("h264.mp4", ["-c:v", "libx264", "-preset", "veryfast", "-vf", "scale=640:-2"]),
    ("h264-720.mp4", ["-c:v", "libx264", "-preset", "veryfast", "-vf", "scale=1280:-2"]),
    ("hevc.mp4", ["-c:v", "libx265", "-preset", "ultrafast", "-vf", "scale=640:-2"]),
    ("vp9.webm", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-vf", "scale=480:-2"]),
    ("half.mkv", ["-c:v", "libx264", "-preset", "veryfast", "-t", "2", "-vf", "scale=480:-2"]),
    ("mpeg4.avi", ["-c:v", "mpeg4", "-q:v", "4", "-vf", "scale=640:-2"]),
)


def cpu_seconds() -> float:
    """CPU time of this process and of the children that ended."""
    usages = (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def ffmpeg(*arguments: str) -> bool:
    """Runs ffmpeg; whether it could."""
    command = [str(find_tools().ffmpeg), "-nostdin", "-loglevel", "error", "-y", *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def mixed_clips(source: Path, folder: Path, count: int) -> list[Path]:
    """Makes `count` clips of several makes, at most ten seconds each."""
    made: list[Path] = []
    videos = [path for path in walk(source) if is_video(path)]
    for turn in range(4):
        for name, arguments in MAKES:
            for video in videos:
                if len(made) == count:
                    return made
                path = folder / f"{video.stem}-{turn}-{name}"
                start = ["-stream_loop", str(turn)] if turn else []
                if ffmpeg(*start, "-i", str(video), "-t", "10", "-an", *arguments, str(path)):
                    made.append(path)
    return made


def wall(source: Path, backbone: str, workers: int, choice: Choice) -> dict[str, Any]:
    """Parts alone, then the engine."""
    from models.backbones.encoder import make_encoder
    from models.backbones.registry import load_backbone

    recipe = FrameRecipe(count=16)
    network = load_backbone(backbone)
    precision = choose_precision(choice, network.fingerprint(backbone))
    encoder, finder = make_encoder(network, precision=precision), FaceFinder()
    encoder(np.zeros((32, 224, 224, 3), np.uint8))
    spent = {"decode": 0.0, "faces": 0.0, "backbone": 0.0}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        clips = mixed_clips(source, folder, 40)
        frames = 0
        for path in clips:
            clock = cpu_seconds()
            info = probe(path)
            picture = whole_picture(info, recipe.max_side)
            pixels, timestamps = read_pixels(path, info, recipe, picture)
            spent["decode"] += cpu_seconds() - clock
            clock = cpu_seconds()
            track = finder.follow(pixels, timestamps)
            crop_faces(pixels, track.boxes, margin=recipe.margin, size=recipe.size)
            spent["faces"] += cpu_seconds() - clock
            frames += len(pixels)
        batch = np.random.default_rng(0).integers(0, 256, (32, 224, 224, 3)).astype(np.uint8)
        clock = cpu_seconds()
        for _ in range(max(1, frames // 32)):
            encoder(batch)
        spent["backbone"] = (cpu_seconds() - clock) * frames / (max(1, frames // 32) * 32)
        known = Recipe(
            frames=recipe.to_json(),
            face_detector=finder.digest,
            backbone=network.name,
            backbone_digest=network.digest,
            precision=precision,
        )
        jobs = [
            Job(path=path, name=path.name, sha256=f"{number:064x}", duration_seconds=5)
            for number, path in enumerate(clips)
        ]
        clock = cpu_seconds()
        with FeatureStore(folder / "store", known, versions={}) as store:
            summary = extract(
                jobs,
                read=partial(read_frames, recipe=recipe, faces=finder),
                encoder=encoder,
                store=store,
                workers=workers,
            )
        together = cpu_seconds() - clock
    ideal = sum(spent.values()) / cores()
    for name, seconds in spent.items():
        print(f"{name:<12}{seconds:>8.2f} CPU s alone")
    told = where_time_went(summary, workers)
    print(f"{'ideal':<12}{ideal:>8.2f} s on {cores()} cores")
    print(f"{'together':<12}{together:>8.2f} CPU s")
    print(f"{'wall':<12}{summary.wall_seconds:>8.2f} s, {told['binding']} binds")
    busy = together / cores() / summary.wall_seconds
    return {
        "clips": len(clips),
        "failed": len(summary.failures),
        "backbone": backbone,
        "precision": precision,
        "extract_wall_over_ideal": round(summary.wall_seconds / ideal, 3),
        "extract_cpu_over_alone": round(together / cores() / ideal, 3),
        "extract_idle_share": round(1 - busy, 3),
        "frames_per_second": round(summary.frames / summary.wall_seconds, 1),
    }


def noop(count: int = 100_000) -> dict[str, float]:
    """Asks a store for what it holds: files are looked at, none is read."""
    recipe = Recipe(frames={}, face_detector=None, backbone="none", backbone_digest="0" * 64)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        videos = folder / "videos"
        for number in range(count):
            path = videos / f"{number // 1000:03d}" / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(number))
            os.utime(path, (1e9, 1e9))
        digests = DigestCache(folder / "digests.sqlite")
        jobs, _ = make_jobs(named_videos(videos, None), digests)
        rng = np.random.default_rng(0)
        values = rng.standard_normal((1, 8)).astype(np.float16)
        stored = [
            StoredSequence(
                sha256=job.sha256,
                key=sequence_key(job.sha256, recipe),
                path=job.name,
                features=values,
                timestamps_seconds=np.zeros(1),
                boxes=np.zeros((1, 4), np.float32),
                face_found=np.ones(1, bool),
            )
            for job in jobs
        ]
        fill(folder / "store", recipe, stored)
        clock = time.perf_counter()
        jobs, failures = make_jobs(
            named_videos(videos, None), DigestCache(folder / "digests.sqlite")
        )
        with FeatureStore(folder / "store", recipe, versions={}) as store:
            keys = [sequence_key(job.sha256, recipe) for job in jobs]
            store.begin(keys)
            missing = sum(not store.has(key) for key in keys)
            shards = {store.shards[key].path: store.shards[key] for key in keys}.values()
            publish(
                folder / "out",
                shards,
                recipe,
                dim=8,
                failures=[],
                provenance={},
                sha256s=[job.sha256 for job in jobs],
            )
        taken = time.perf_counter() - clock
        assert not missing
        assert not failures
    print(f"{'noop':<12}{taken:>8.2f} s for {count} videos")
    return {"noop_100k_seconds": round(taken, 2)}


def fill(root: Path, recipe: Recipe, stored: list[StoredSequence]) -> None:
    """Puts sequences into a store as sealed shards, past the staging of each."""
    from data.io.reading import file_sha256
    from features.store.shard import write_shard

    folder = root / recipe.digest[:16] / "shards"
    folder.mkdir(parents=True)
    for start in range(0, len(stored), 10_000):
        part = stored[start : start + 10_000]
        path = folder / "new"
        write_shard(path, part, recipe, {}, frame_counts=[len(one.features) for one in part])
        path.rename(folder / f"shard-{file_sha256(path)}.h5")


def rss() -> dict[str, float]:
    """Peak memory of the command on a short and on a long video of the same make."""
    peaks = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        short, long = folder / "short.mp4", folder / "long.mp4"
        size = ["-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=25:duration=10"]
        ffmpeg(*size, "-c:v", "libx264", "-preset", "ultrafast", "-g", "250", str(short))
        ffmpeg("-stream_loop", "359", "-i", str(short), "-c", "copy", str(long))
        for name, path in (("10 s", short), ("1 hour", long)):
            run = [
                sys.executable, "-c", PEAK, "extract", str(path), "-o", str(folder / f"out {name}"),
                "--store", str(folder / f"store {name}"), "--set", "frames.crop=full",
            ]  # fmt: skip
            root = Path(__file__).parents[1]
            told = subprocess.run(run, capture_output=True, text=True, check=True, cwd=root).stdout
            peaks[name] = int(told.splitlines()[-1]) / 1024
            print(f"{name:<12}{peaks[name]:>8.0f} MB at most")
    return {
        "rss_hour_over_10s": round(peaks["1 hour"] / peaks["10 s"], 3),
        "rss_hour_mb": round(peaks["1 hour"]),
    }


PEAK = """
import resource
from pipeline.cli.app import app
app(standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    """Prints tables and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, default=Path("../shared/clips"))
    parser.add_argument("--backbone", default="resnet50-thin")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--parts", default="wall,noop,rss")
    args = parser.parse_args()
    figures: dict[str, Any] = {}
    parts = args.parts.split(",")
    if "wall" in parts:
        figures |= wall(args.clips, args.backbone, args.workers, args.precision)
    if "noop" in parts:
        figures |= noop()
    if "rss" in parts:
        figures |= rss()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
