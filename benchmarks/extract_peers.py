"""The speed of `extract` against PyTorch: the same clips, number of frames and network.

    make bench-peers        # makes PyTorch's environment, then runs this

Each clip of ../shared/clips, in another codec, size and container than the one before it, is
embedded by `features.extraction.engine.extract` and by `peer_extract.py` (OpenCV, PyTorch and
torchvision, one video at a time, as video_features does it; in float32 and in bfloat16 autocast),
in turn, on all cores, without face crops, which the peer lacks. Start-up and loading are not
counted. The last line is one JSON object: extract_vs_torch and extract_vs_torch_bfloat16, frames
per second in --precision over the peer's in float32 and in bfloat16; frames_per_second.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.extract import MAKES, ffmpeg
from data.datasets.layouts.listing import is_video, walk
from data.faces.crops import read_frames
from data.video.frames import FrameRecipe
from features.extraction.engine import extract
from features.extraction.job import Job
from features.store.key import Recipe
from features.store.store import FeatureStore
from models.backbones.openvino_encoder import OpenVinoEncoder
from pipeline.machine import cores

ROOT = Path(__file__).parents[1]


def varied_clips(source: Path, folder: Path) -> list[Path]:
    """Makes a clip of each of the folder's videos, at most ten seconds long, in turn in MAKES."""
    made = []
    videos = [path for path in walk(source) if is_video(path)]
    for video, (name, arguments) in zip(videos, itertools.cycle(MAKES), strict=False):
        path = folder / f"{video.stem}-{name}"
        if ffmpeg("-i", str(video), "-t", "10", "-an", *arguments, str(path)):
            made.append(path)
    return made


def ours(clips: list[Path], frames: int, encoder: OpenVinoEncoder) -> tuple[int, float]:
    """Frames and seconds of unmask."""
    frame_recipe = FrameRecipe(count=frames, crop="full")
    recipe = Recipe(
        frames=frame_recipe.to_json(),
        face_detector=None,
        backbone="resnet50-random",
        backbone_digest=encoder.digest,
        precision=encoder.precision,
    )
    jobs = [
        Job(path=path, name=path.name, sha256=f"{number:064x}", duration_seconds=5)
        for number, path in enumerate(clips)
    ]
    with (
        tempfile.TemporaryDirectory() as scratch,
        FeatureStore(Path(scratch), recipe, versions={}) as store,
    ):
        summary = extract(
            jobs,
            read=partial(read_frames, recipe=frame_recipe),
            encoder=encoder,
            store=store,
            workers=cores(),
        )
    assert not summary.failures, summary.failures
    return summary.frames, summary.wall_seconds


def theirs(clips: list[Path], frames: int, precision: str) -> tuple[int, float]:
    """Frames and seconds of the peer."""
    python = ROOT / ".venv-peers" / "bin" / "python"
    if not python.is_file():
        sys.exit("there is no .venv-peers; run make bench-peers")
    script = str(ROOT / "benchmarks" / "peer_extract.py")
    run = [str(python), script, precision, str(frames), *map(str, clips)]
    told = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    facts = json.loads(told.splitlines()[-1])
    return facts["frames"], facts["seconds"]


def main() -> None:
    """Prints a table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, default=Path("../shared/clips"))
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    args = parser.parse_args()
    from models.backbones.encoder import openvino_encoder
    from models.backbones.registry import load_backbone

    backbone = load_backbone("resnet50-random")
    encoder = openvino_encoder(backbone, precision=args.precision)
    encoder(np.zeros((32, 224, 224, 3), np.uint8))
    rates: dict[str, list[float]] = {"unmask": [], "PyTorch float32": [], "PyTorch bfloat16": []}
    with tempfile.TemporaryDirectory() as scratch:
        clips = varied_clips(args.clips, Path(scratch))
        for _ in range(args.rounds):
            done, seconds = ours(clips, args.frames, encoder)
            rates["unmask"].append(done / seconds)
            for precision in ("float32", "bfloat16"):
                done, seconds = theirs(clips, args.frames, precision)
                rates[f"PyTorch {precision}"].append(done / seconds)
    for name, found in rates.items():
        print(f"{name:<18}{max(found):>8.1f} frames/s   {[round(rate, 1) for rate in found]}")
    best = max(rates["unmask"])
    figures = {
        "clips": len(clips),
        "precision": args.precision,
        "frames_per_second": round(best, 1),
        "extract_vs_torch": round(best / max(rates["PyTorch float32"]), 2),
        "extract_vs_torch_bfloat16": round(best / max(rates["PyTorch bfloat16"]), 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
