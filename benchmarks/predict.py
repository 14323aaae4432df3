"""How long from the return key to the verdict on one clip, and where the time goes?

    taskset -c 0,1 python benchmarks/predict.py [--clip VIDEO] [--bundle BUNDLE] [--runs 5]

`unmask predict BUNDLE CLIP` is timed as a user has it: a fresh process for each run, from its start
to the line of the verdict and to its end. Without --clip it is ten seconds of 1280x720, made of a
clip in ../shared/clips, or rendered as the demo's are; without --bundle, one of an untrained LSTM
of 128 units on resnet50-thin, whose weights take as long as a trained one's.

The cache of networks (`models.user_cache`) is a new folder. The first run fills it, by way of
TensorFlow; the others, of which the median is given, read it. The same with --report: the page and
its heat map, for which 36 parts of the face are hidden in 16 frames, 576 frames of the backbone.
Then what a run imports, loads and compiles is listed, each with its time in one process in which
nothing runs in parallel.

The last line is one JSON object: predict_seconds, the median to the verdict without a page;
predict_process_seconds, to the end of the process; predict_first_seconds, with an empty cache;
predict_report_seconds, to the end with the page; help_seconds, of
`unmask --help`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
SOURCE = ROOT.parent / "shared" / "clips" / "WolfgangLanger_Pexels.mp4"
UNMASK = [sys.executable, "-m", "pipeline"]


def make_clip(path: Path) -> None:
    """Ten seconds of 1280x720 with a face."""
    from data.video.ffmpeg import find_tools

    source = SOURCE
    if not source.is_file():
        from data.demo.dataset import write_demo
        from data.demo.take import DemoConfig

        write_demo(path.with_name("demo"), DemoConfig(people=3), workers=1)
        source = next(path.with_name("demo").glob("real/*.mp4"))
    subprocess.run(
        [find_tools().ffmpeg, "-nostdin", "-loglevel", "error", "-stream_loop", "99", "-i", source,
         "-t", "10", "-an", "-vf", "scale=1280:720", "-c:v", "libx264", "-preset", "veryfast",
         path],
        check=True,
    )  # fmt: skip


def make_bundle(path: Path) -> None:
    """An untrained LSTM and baseline on the embedded backbone."""
    import numpy as np

    from data.faces.tracker import FaceFinder
    from data.pixels_version import PIXELS_VERSION
    from data.video.frames import FrameRecipe
    from features.store.key import Recipe
    from models.backbones.precision import choose_precision
    from models.backbones.registry import load_backbone
    from models.bundle import Bundle, BundledHead
    from models.configs import HeadConfig
    from models.heads.architectures import build_head
    from models.tf_runtime import seed_everything

    seed_everything(0)
    backbone = load_backbone("resnet50-thin")
    heads = []
    for kind in ("lstm", "mean"):
        config, dim = HeadConfig(kind=kind), backbone.dim
        model = build_head(config, dim=dim, mean=np.zeros(dim), variance=np.ones(dim))
        row = dict.fromkeys(("epoch", "loss", "auc", "val_loss", "val_auc"), 0.5) | {"epoch": 1}
        heads.append(
            BundledHead(model=model, config=config, threshold=0.5, history=(row,), best_epoch=1,
                        stop_reason="untrained")
        )  # fmt: skip
    recipe = Recipe(
        frames=FrameRecipe(count=32).to_json(),
        face_detector=FaceFinder().digest,
        backbone=backbone.name,
        backbone_digest=backbone.digest,
        precision=choose_precision("auto", backbone.fingerprint(backbone.name)),
        pixels_version=PIXELS_VERSION,
    )
    bundle = Bundle(
        head=heads[0], baseline=heads[1], recipe=recipe.to_json(), dim=backbone.dim,
        trained_on={"train": {}, "val": {}}, provenance={}, backbone=backbone.name,
    )  # fmt: skip
    bundle.save(path)


def timed(command: list[Any], environment: dict[str, str], mark: str) -> tuple[float, float]:
    """Seconds from a command's start to the line that holds `mark`, and to its end."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [str(one) for one in command], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = None
    for line in process.stdout:
        if told is None and mark in line:
            told = time.perf_counter() - begun
    if process.wait() or told is None:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}")
    return told, time.perf_counter() - begun


def phases(bundle: Path, clip: Path) -> None:
    """Prints each part of a run; with the network cached, in this process, nothing in parallel."""
    clock = [time.perf_counter()]
    rows: list[tuple[str, float]] = []

    def part(name: str, run: Callable[[], Any]) -> Any:
        clock[0] = time.perf_counter()
        result = run()
        rows.append((name, time.perf_counter() - clock[0]))
        return result

    def modules() -> None:
        import pipeline.cli.app
        import pipeline.inference.predict  # noqa: F401

    part("import NumPy", lambda: __import__("numpy"))
    part("import SciPy (special functions)", lambda: __import__("scipy.special"))
    part("import pydantic", lambda: __import__("pydantic.types"))
    part("import HDF5", lambda: __import__("h5py"))
    part("import the other modules", modules)
    from data.faces.multi_face import read_every_face
    from data.faces.tracker import FaceFinder
    from data.video.ffmpeg import find_tools
    from models.bundle import Bundle
    from models.explanation.score_interval import score_interval
    from pipeline.extraction.feature_spec import scoring_recipe

    opened = part("read the bundle", lambda: Bundle.load(bundle))
    frames, recipe = scoring_recipe(opened.recipe)
    encoder = opened.encoder(recipe.precision)
    part("import OpenVINO", lambda: __import__("openvino"))
    part("read and compile the network", encoder.load)
    part("find ffmpeg", find_tools)
    finder = FaceFinder()
    part("import LiteRT", lambda: __import__("ai_edge_litert.interpreter"))
    read = part("decode, find faces", lambda: read_every_face(clip, frames, finder=finder))
    face = read.faces[0]
    features = part("embed", lambda: encoder(face.pixels)).astype(recipe.dtype)
    part("score, interval", lambda: score_interval(opened.head, features, face.timestamps_seconds))
    for name, seconds in rows:
        print(f"{name:<40}{seconds:>8.2f} s")
    for name in ("tensorflow", "keras", "sklearn", "onnx"):
        print(f"{name:<40}{'imported' if name in sys.modules else 'not imported':>14}")


def main() -> None:
    """Prints the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--phases", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.phases:
        phases(arguments.bundle, arguments.clip)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, bundle = arguments.clip, arguments.bundle
        if clip is None:
            clip = folder / "clip.mp4"
            make_clip(clip)
        if bundle is None:
            bundle = folder / "bundle"
            # In a process of its own: one that has TensorFlow would be slower to fork.
            code = f"from benchmarks.predict import *; make_bundle(Path({str(bundle)!r}))"
            subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
        environment = os.environ | {
            "PYTHONPATH": str(ROOT), "UNMASK_CACHE_DIR": str(folder / "cache"),
        }  # fmt: skip
        predict = [*UNMASK, "predict", bundle, clip]
        first, _ = timed(predict, environment, "P(fake)")
        later = [timed(predict, environment, "P(fake)") for _ in range(arguments.runs)]
        report = [*predict, "--report", folder / "page.html"]
        pages = [timed(report, environment, "page:")[1] for _ in range(min(arguments.runs, 3))]
        light = statistics.median(
            timed([*UNMASK, "--help"], environment, "Usage")[1] for _ in range(arguments.runs)
        )
        print(f"first run, to the verdict               {first:>8.2f} s")
        told = [one for one, _ in later]
        print(f"later runs, to the verdict              {statistics.median(told):>8.2f} s   "
              f"[{min(told):.2f}, {max(told):.2f}]")  # fmt: skip
        ended = statistics.median(one for _, one in later)
        print(f"later runs, to the end                  {ended:>8.2f} s")
        print(f"later runs, with the page               {statistics.median(pages):>8.2f} s")
        print()
        listed = [sys.executable, __file__, "--phases", "--bundle", bundle, "--clip", clip]
        subprocess.run(listed, env=environment, check=True)
        figures = {
            "predict_seconds": round(statistics.median(told), 2),
            "predict_process_seconds": round(ended, 2),
            "predict_first_seconds": round(first, 2),
            "predict_report_seconds": round(statistics.median(pages), 2),
            "help_seconds": round(light, 2),
            "runs": arguments.runs,
            "cores": len(os.sched_getaffinity(0)),
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
