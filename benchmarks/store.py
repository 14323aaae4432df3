"""How the feature store scales: the time to write, open and load it at several sizes.

    python benchmarks/store.py [--videos 100000] [--frames 32] [--dim 2048] [--plot FILE.svg]

Simulated features go into sealed shards of 256 MiB, become a feature set as in `extract`, and are
opened and loaded as in `train`: once to warm the page cache, once to be timed. The last line is one
JSON object for the largest size: store_open_seconds; store_load_gb_s, of a sample that fits memory
twice; store_stage_videos_per_second, of writing single videos crash-safely; store_bytes_linear,
bytes a video at the largest size over those at the smallest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.datasets.manifest import Video
from data.io.reading import file_sha256
from features.sequences.dataset import load_sequences
from features.store.feature_set import Features, publish
from features.store.key import Recipe, sequence_key
from features.store.shard import Shard, StoredSequence, write_shard
from features.store.store import SHARD_BYTES, FeatureStore

SAMPLE_BYTES = 3 << 30


def manifest_row(sha256: str) -> Video:
    """A manifest's row of a video that only its digest tells from others."""
    return Video(
        path=sha256,
        label=0,
        group="",
        method="real",
        split="train",
        sha256=sha256,
        size_bytes=0,
        codec="h264",
        width=1280,
        height=720,
        fps=25.0,
        duration_seconds=10.0,
        bit_rate=0,
    )


def sequences(recipe: Recipe, first: int, count: int, values: np.ndarray) -> Iterator:
    """Simulated sequences: the same values, other videos."""
    frames = len(values)
    for number in range(first, first + count):
        sha256 = hashlib.sha256(str(number).encode()).hexdigest()
        yield StoredSequence(
            sha256=sha256,
            key=sequence_key(sha256, recipe),
            path=f"{number}.mp4",
            features=values,
            timestamps_seconds=np.arange(frames) / 25,
            boxes=np.zeros((frames, 4), np.float32),
            face_found=np.ones(frames, bool),
        )


def write(folder: Path, recipe: Recipe, first: int, count: int, values: np.ndarray) -> list[Shard]:
    """Sealed shards of `count` videos."""
    each = max(1, SHARD_BYTES // values.nbytes)
    shards = []
    for start in range(first, first + count, each):
        part = min(each, first + count - start)
        path = folder / "new"
        stored = sequences(recipe, start, part, values)
        write_shard(path, stored, recipe, {}, frame_counts=[len(values)] * part)
        sealed = path.rename(folder / f"shard-{file_sha256(path)}.h5")
        shards.append(Shard(sealed))
    return shards


def plot(rows: list[dict[str, float]], path: Path) -> None:
    """Seconds to write and to open against videos, as an SVG."""
    width, height, pad = 640, 360, 60
    most = max(row["videos"] for row in rows)
    parts = []
    for place, (name, colour) in enumerate((("write_seconds", "#0072b2"), ("gb", "#d55e00"))):
        top = max(row[name] for row in rows)
        points = [
            (
                pad + (width - 2 * pad) * row["videos"] / most,
                height - pad - (height - 2 * pad) * row[name] / top,
            )
            for row in rows
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(pad, height - pad), *points])
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{"" if place else "6 4"}"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in points]
        label = {
            "write_seconds": f"seconds to write, up to {top:.0f}",
            "gb": f"GB, up to {top:.1f}",
        }
        parts.append(
            f'<text x="{pad + 10}" y="{pad + 20 * place}" fill="{colour}">{label[name]}</text>'
        )
    axes = (
        f'<path d="M{pad},{pad} V{height - pad} H{width - pad}" fill="none" stroke="#888"/>'
        f'<text x="{width / 2}" y="{height - 20}" text-anchor="middle" fill="#888">'
        f"videos, up to {most:,}</text>"
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="system-ui, sans-serif" font-size="14">{axes}{"".join(parts)}</svg>\n'
    )


def main() -> None:
    """Prints a table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    recipe = Recipe(frames={}, face_detector=None, backbone="none", backbone_digest="0" * 64)
    draw = np.random.default_rng(0)
    values = draw.standard_normal((args.frames, args.dim)).astype(np.float16)
    rows: list[dict[str, float]] = []
    print(f"{'videos':>10}{'GB':>8}{'write s':>10}{'publish s':>11}{'open s':>8}{'load GB/s':>11}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shards: list[Shard] = []
        written = 0.0
        done = 0
        for count in (args.videos // 8, args.videos // 4, args.videos // 2, args.videos):
            clock = time.perf_counter()
            shards += write(folder, recipe, done, count - done, values)
            written += time.perf_counter() - clock
            done = count
            clock = time.perf_counter()
            publish(folder / "out", shards, recipe, dim=args.dim, failures=[], provenance={})
            published = time.perf_counter() - clock
            clock = time.perf_counter()
            features = Features(folder / "out")
            opened = time.perf_counter() - clock
            sample = min(count, SAMPLE_BYTES // values.nbytes)
            videos = [manifest_row(sha256) for sha256 in features.sha256s[:sample]]
            load_sequences(features, videos).features[:]
            clock = time.perf_counter()
            loaded = load_sequences(features, videos).features[:]
            rate = loaded.nbytes / (time.perf_counter() - clock) / 1e9
            del loaded
            size = sum(path.stat().st_size for path in (folder / "out").glob("*.h5"))
            row = {
                "videos": count,
                "gb": size / 1e9,
                "write_seconds": written,
                "publish_seconds": published,
                "open_seconds": opened,
                "load_gb_s": rate,
            }
            rows.append(row)
            print(
                f"{count:>10}{size / 1e9:>8.2f}{written:>10.1f}{published:>11.2f}"
                f"{opened:>8.2f}{rate:>11.2f}",
                flush=True,
            )
        with FeatureStore(folder / "store", recipe, versions={}) as store:
            some = list(sequences(recipe, 0, 300, values))
            store.begin([one.key for one in some])
            clock = time.perf_counter()
            for one in some:
                store.stage(one)
            store.finish()
            staged = len(some) / (time.perf_counter() - clock)
    if args.plot:
        plot(rows, args.plot)
    last, first = rows[-1], rows[0]
    print(
        json.dumps(
            {
                "videos": last["videos"],
                "store_open_seconds": round(last["open_seconds"], 2),
                "store_load_gb_s": round(last["load_gb_s"], 2),
                "store_stage_videos_per_second": round(staged, 1),
                "store_bytes_linear": round(
                    last["gb"] / last["videos"] / (first["gb"] / first["videos"]), 4
                ),
            }
        )
    )


if __name__ == "__main__":
    main()
