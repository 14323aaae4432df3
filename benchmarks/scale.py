"""Estimates hours, GB and euros for public data sets from rates measured on this machine.

    python benchmarks/scale.py [--clips FOLDER] [--frames 32] [--euros 0.05] [--into docs/scale.md]

For each data set a clip of its typical size, length and frame rate is encoded (H.264) from a clip
of the folder, or from a rendered one where there is none, and read as `extract` reads it: processor
seconds of decoding, with the file's digest, and of the search for faces, each alone. It also
measures the backbones, in full batches, and how many videos per second one driver accepts from
workers (verification, staging, fsync). The rest is computed:

    core-hours = videos x (decoding + faces + frames x backbone) x overhead / 3600

--overhead: wall time over the sum of the parts, as benchmarks/extract.py measures it on a quiet
machine; --euros: of a core for an hour. --into writes the tables between the marks in a document.
No GPU is measured. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.extract import cpu_seconds, ffmpeg
from data.datasets.layouts.listing import is_video, walk
from data.demo import DemoConfig, write_demo
from data.faces.crops import crop_faces
from data.faces.tracker import FaceFinder
from data.io.reading import file_sha256
from data.operating_system.machine import processor_facts
from data.video.frames import FrameRecipe, read_pixels
from data.video.picture import whole_picture
from data.video.probe import probe
from features.cluster.work_units import UNIT_VIEWS, UnitReport, cut_units, unpack
from features.extraction.engine import keep_all
from features.extraction.job import Finished, Job
from features.extraction.summary import Phases
from features.store.key import Recipe, sequence_key
from features.store.shard import StoredSequence, write_shard
from features.store.store import FeatureStore
from features.store.views import Views
from models.matrix_units import matrix_unit
from pipeline.machine import cores

BACKBONES = ("resnet50-thin", "resnet50-random")
"""Half width, and what ResNet50 costs whatever its weights."""
MACHINES = (16, 64)
"""Cores that the hours are told for, beside this machine's."""
MARKS = ("<!-- scale -->", "<!-- /scale -->")


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set as its authors describe it; sizes of pictures are assumed, on the safe side.

    Attributes:
        name: of the data set.
        videos: number of them.
        seconds: of a typical one.
        fps: of a typical one.
        width: of a typical one, in pixels.
        height: of a typical one.
        download_gb: as its authors tell, or None.
    """

    name: str
    videos: int
    seconds: float
    fps: int
    width: int
    height: int
    download_gb: float | None


DATA_SETS = (
    DataSet(name="FaceForensics++ c23", videos=5_000, seconds=17, fps=30, width=1280, height=720,
            download_gb=10),
    DataSet(name="Celeb-DF v2", videos=6_529, seconds=13, fps=30, width=1280, height=720,
            download_gb=None),
    DataSet(name="DFDC", videos=128_154, seconds=10, fps=30, width=1920, height=1080,
            download_gb=470),
)  # fmt: skip
UNIT_NAMES = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}
"""As processors' makers call them."""


def source_clip(clips: Path, scratch: Path) -> tuple[Path, str]:
    """A clip with a face to make all others from, and what it is."""
    found = [path for path in walk(clips) if is_video(path)] if clips.is_dir() else []
    videos = [path for path in found if path.suffix != ".gif"]
    if videos:
        return max(videos, key=lambda path: probe(path).width), "a real clip"
    write_demo(scratch / "demo", DemoConfig(people=4), workers=cores())
    return next(path for path in walk(scratch / "demo") if is_video(path)), "a rendered clip"


def like(one: DataSet, source: Path, path: Path) -> Path:
    """A clip of a data set's typical make."""
    size = (
        f"scale={one.width}:{one.height}:force_original_aspect_ratio=increase,"
        f"crop={one.width}:{one.height},fps={one.fps}"
    )
    made = ffmpeg("-stream_loop", "-1", "-i", str(source), "-t", str(one.seconds), "-an",
                  "-vf", size, "-c:v", "libx264", "-preset", "veryfast", "-crf", "23",
                  "-pix_fmt", "yuv420p", str(path))  # fmt: skip
    assert made, f"ffmpeg cannot make {path}"
    return path


def read_costs(path: Path, recipe: FrameRecipe, rounds: int) -> dict[str, float]:
    """Processor seconds a video, the best of some rounds."""
    finder = FaceFinder()
    best = dict.fromkeys(("decode", "faces"), float("inf"))
    for _ in range(rounds):
        clock = cpu_seconds()
        file_sha256(path)
        info = probe(path)
        pixels, timestamps = read_pixels(path, info, recipe, whole_picture(info, recipe.max_side))
        best["decode"] = min(best["decode"], cpu_seconds() - clock)
        clock = cpu_seconds()
        track = finder.follow(pixels, timestamps)
        crop_faces(pixels, track.boxes, margin=recipe.margin, size=recipe.size)
        best["faces"] = min(best["faces"], cpu_seconds() - clock)
    return best


def backbone_costs(name: str, rounds: int) -> tuple[float, float, int, str]:
    """Processor seconds and wall seconds a frame, D, and the precision that `auto` takes here."""
    from models.backbones.encoder import make_encoder
    from models.backbones.precision import fastest_precision
    from models.backbones.registry import load_backbone

    precision = fastest_precision()
    encoder = make_encoder(load_backbone(name), precision=precision)
    batch = np.random.default_rng(0).integers(0, 256, (encoder.batch_size, 224, 224, 3))
    frames = batch.astype(np.uint8)
    encoder(frames)
    used, wall = float("inf"), float("inf")
    for _ in range(rounds):
        clock, cpu = time.perf_counter(), cpu_seconds()
        encoder(frames)
        used = min(used, cpu_seconds() - cpu)
        wall = min(wall, time.perf_counter() - clock)
    size = encoder.batch_size
    return used / size, wall / size, encoder.dim, precision


def intake(frames: int, dim: int, videos: int = 128) -> tuple[float, float]:
    """Of a driver that checks and stages units: videos a second, and processor seconds of each."""
    recipe = Recipe(frames={}, face_detector=None, backbone="none", backbone_digest="0" * 64)
    values = np.random.default_rng(0).standard_normal((frames, dim)).astype(np.float16)
    jobs = [
        Job(path=Path(str(n)), name=f"{n}.mp4", sha256=f"{n:064x}", duration_seconds=1)
        for n in range(videos)
    ]
    with tempfile.TemporaryDirectory() as scratch:
        reports = []
        for unit in cut_units(jobs, most=UNIT_VIEWS):
            sequences = [
                StoredSequence(
                    sha256=job.sha256,
                    key=sequence_key(job.sha256, recipe),
                    path=job.name,
                    features=values,
                    timestamps_seconds=np.arange(frames, dtype=np.float64),
                    boxes=np.zeros((frames, 4), np.float32),
                    face_found=np.ones(frames, bool),
                )
                for job in unit.jobs
            ]
            path = Path(scratch) / "unit.h5"
            counts = [frames] * len(sequences)
            write_shard(path, sequences, recipe, {}, frame_counts=counts)
            content = path.read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            reports.append((unit, UnitReport(shard=content, sha256=sha256, failures={}, unseen=[])))

        def engine(missing: Sequence[Job], phases: Phases) -> Iterator[Finished]:
            for unit, report in reports:
                yield from unpack(unit, report, recipe, Views())

        clock = cpu_seconds()
        with FeatureStore(Path(scratch) / "store", recipe, versions={}) as store:
            summary = keep_all(jobs, engine=engine, store=store, show_progress=False)
    assert summary.done == videos
    return videos / summary.wall_seconds, (cpu_seconds() - clock) / videos


def processor() -> str:
    """The processor in words for a sentence: its name and its unit for bfloat16; or nothing."""
    name, unit = processor_facts("model name"), matrix_unit("bfloat16")
    units = f" with {UNIT_NAMES[unit]}" if unit else ""
    return f" of {name}{units}" if name else ""


def hours(value: float) -> str:
    """Hours; minutes where they are few, days where they are many."""
    if value < 1:
        return f"{60 * value:.0f} min"
    return f"{value:.1f} h" if value < 72 else f"{value / 24:.1f} days"


def main() -> None:
    """Prints tables and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, default=Path("../shared/clips"))
    parser.add_argument("--frames", type=int, default=32, help="of each video")
    parser.add_argument("--euros", type=float, default=0.05, help="for a core for an hour")
    parser.add_argument("--overhead", type=float, default=1.15)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--into", type=Path, help="document to put the tables into")
    args = parser.parse_args()
    recipe = FrameRecipe(count=args.frames)
    told: list[str] = []
    reading: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        source, kind = source_clip(args.clips, Path(scratch))
        told += [
            f"Measured on {cores()} cores{processor()}. On {kind} encoded alike,",
            f"{args.frames} frames a video, face crops of {recipe.size} px:",
            "",
            "| clip like | made of | decoding, digest | faces |",
            "| --- | --- | --- | --- |",
        ]
        for number, one in enumerate(DATA_SETS):
            path = like(one, source, Path(scratch) / f"{number}.mp4")
            costs = reading[one.name] = read_costs(path, recipe, args.rounds)
            shown = " | ".join(f"{seconds:.2f} core-s" for seconds in costs.values())
            told.append(
                f"| {one.name} | {one.seconds:g} s, {one.width}x{one.height}, {one.fps} frames/s | "
                f"{shown} |"
            )
    networks = {name: backbone_costs(name, args.rounds) for name in BACKBONES}
    told += [
        "",
        "| backbone | D | precision | frames/s | cost |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, (used, wall, dim, precision) in networks.items():
        shown = "resnet50, any weights" if name == "resnet50-random" else name
        told.append(
            f"| {shown} | {dim} | {precision} | {1 / wall:.0f} | "
            f"{1000 * used:.1f} core-ms a frame |"
        )
    driver, spent = max(intake(args.frames, 2048) for _ in range(args.rounds))
    told += [
        "",
        f"One driver took in {driver:.0f} videos/s of {args.frames} x 2048 from units that were "
        f"there already, at {1000 * spent:.0f} core-ms each.",
        "",
        f"On paper, at {args.euros:g} euros a core-hour and {args.overhead:g} for what is not "
        "hidden:",
        "",
        "| data set | backbone | videos | features | core-hours | "
        + " | ".join(f"{count} cores" for count in (cores(), *MACHINES))
        + " | euros |",
        "| --- | --- | --- | --- | --- | " + "--- | " * (len(MACHINES) + 1) + "--- |",
    ]
    figures = []
    for one in DATA_SETS:
        for name, (used, _, dim, _) in networks.items():
            each = sum(reading[one.name].values()) + args.frames * used
            work = one.videos * each * args.overhead / 3600
            # Features, times, boxes and a byte a frame; the rest of a shard is small.
            size = one.videos * args.frames * (2 * dim + 8 + 16 + 1) / 1e9
            figures.append(
                {
                    "data_set": one.name,
                    "backbone": name,
                    "core_seconds_a_video": round(each, 3),
                    "core_hours": round(work, 1),
                    "gb": round(size, 2),
                    "euros": round(work * args.euros, 2),
                }
            )
            # Not faster than the driver's one thread.
            least = one.videos * spent / 3600
            spans = " | ".join(hours(max(work / count, least)) for count in (cores(), *MACHINES))
            shown = "resnet50" if name == "resnet50-random" else name
            told.append(
                f"| {one.name} | {shown} | {one.videos:,} | {size:.2f} GB | {work:.1f} | {spans} | "
                f"{work * args.euros:.2f} |"
            )
    print("\n".join(told))
    if args.into:
        text = args.into.read_text(encoding="utf-8")
        before, rest = text.split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        body = "\n".join(["", *told, ""])
        args.into.write_text(before + MARKS[0] + body + MARKS[1] + after, encoding="utf-8")
    print(
        json.dumps(
            {
                "frames_a_video": args.frames,
                "intake_videos_per_second": round(driver, 1),
                "data_sets": [asdict(one) for one in DATA_SETS],
                "estimates": figures,
            }
        )
    )


if __name__ == "__main__":
    main()
