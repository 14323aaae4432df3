"""How well does a detector do on people and forgery programs that it never saw?

    python benchmarks/transfer.py [--quick] [--faces ../shared/faces] [--work .unmask/transfer]
        [--set KEY=VALUE ...]

Heads are trained on (a) self-made forgeries of the real videos alone, (b) true fakes, (c) both, and
tested on true fakes of people and programs that were held out, each beside real videos of held-out
people. The table has a row for each detector (the default head; its linear model alone; the plain
LSTM of `presets/recipe.yaml`; mean-pool; logistic regression, face size, metadata and motion
alone): AUC averaged over programs with three clips or more, over all programs, the share of
same-scene pairs ranked rightly, Cllr of what `predict` would say and the least that calibration
could reach, both recalls, balanced accuracy,
the share of clips that get a verdict, and balanced accuracy of these, with 95 % intervals by groups
of people. A second table has what the default head gains over each other, with the interval, and
over the parts that were held out. Regime (a) is also the test on forgeries of other programs than
the one that was learnt from. `--quick` takes fewer frames, shorter forgeries and fewer parts.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.transfer_data import MADE, ROOT, TRUE, prepare
from data.datasets.manifest import Manifest, Video
from features.store.feature_set import Features
from models.configs import HeadConfig
from models.evaluation.evaluate import Estimate
from pipeline.config import Params, load_params
from pipeline.hold_out.detectors import compared_heads
from pipeline.hold_out.hold_out import hold_out
from pipeline.hold_out.result import HELD_OUT_SHOWN, HoldOutReport

QUICK = ("frames.count=16", "forge.seconds=2", "hold_out.person_folds=3", "hold_out.method_folds=3")
FULL = ("hold_out.person_folds=5", "hold_out.method_folds=5")
REGIMES = {"a": "self-made forgeries", "b": "true fakes", "c": "both"}
SHORT = ("AUC, 3+", "AUC, all", "AUC, clips", "pairs", "Cllr", "least Cllr", "caught", "cleared",
         "balanced", "verdicts", "of these")  # fmt: skip


def learnt_from(videos: tuple[Video, ...], regime: str) -> np.ndarray:
    """Which videos a regime learns from, (N,) bool."""
    parts = {"a": (MADE,), "b": (TRUE,), "c": (MADE, TRUE)}[regime]
    return np.asarray([video.path.split("/")[0] in parts for video in videos])


def heads_of(params: Params) -> dict[str, HeadConfig]:
    """The heads that are compared: the configured one first."""
    found = compared_heads(params.head)
    if params.head.is_residual:
        found["plain LSTM"] = load_params(ROOT / "presets" / "recipe.yaml").head
    return found


def shown(one: Estimate | None) -> str:
    return "-" if one is None else f"{one.value:.2f} ({one.low:.2f}-{one.high:.2f})"


def main() -> None:
    """Prints the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--faces", type=Path, default=ROOT.parent / "shared" / "faces")
    parser.add_argument("--work", type=Path, default=ROOT / ".unmask" / "transfer")
    parser.add_argument("--backbone", default="resnet50-thin")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    if not (arguments.faces / "labels.csv").is_file():
        sys.exit(f"{arguments.faces} has no labels.csv; name the folder by --faces")
    begun = time.monotonic()
    settings = [*(QUICK if arguments.quick else FULL), *arguments.set]
    params = load_params(None, settings)
    name = f"{params.frames.count}x{params.frames.size}-{params.forge.seconds:g}s"
    made = [one for one in settings if one.split(".")[0] in ("forge", "frames")]
    manifest, features = prepare(
        arguments.faces.resolve(), (arguments.work / name).resolve(),
        backbone=arguments.backbone, settings=made,
    )  # fmt: skip
    prepared = time.monotonic() - begun
    videos = Manifest.read(manifest).videos
    test = np.asarray([video.path.startswith(f"{TRUE}/") for video in videos])
    stored = Features(features)
    reports: dict[str, HoldOutReport] = {}
    for regime in REGIMES:
        learn = learnt_from(videos, regime)
        reports[regime] = hold_out(
            stored, videos, test=test, learn=learn, params=params, heads=heads_of(params)
        )
    first = reports["b"]
    fakes = sum(video.label for video in first.videos)
    methods = first.detectors[0].evaluation.methods
    print(
        f"{len(first.videos)} clips, {fakes} of them fakes of {len(methods)} programs, "
        f"{first.pairs} pairs; {len(first.folds)} parts; {len(first.missing)} clips failed"
    )
    print(f"{'learnt from':<21}{'detector':<21}" + "".join(f"{one:>18}" for one in SHORT))
    figures: dict[str, object] = {}
    for regime, report in reports.items():
        for one in report.detectors:
            cells = [shown(one.evaluation.metrics.get(metric)) for metric in HELD_OUT_SHOWN]
            print(f"{REGIMES[regime]:<21}{one.name:<21}" + "".join(f"{cell:>18}" for cell in cells))
            key = f"{regime}_{one.name.replace(' ', '_')}"
            figures |= {
                f"{key}_{metric}": round(estimate.value, 4)
                for metric, estimate in one.evaluation.metrics.items()
            }
    print(f"gain of the {first.detectors[0].name} in mean AUC over programs with 3+, AUC by part")
    for regime, report in reports.items():
        for one in report.detectors[1:]:
            parts = np.asarray(one.part_gains)
            print(
                f"{REGIMES[regime]:<21}over {one.name:<21}"
                f"{shown(one.gain.get('auc_methods_several')):>21}   {parts.mean():+.3f} "
                f"({parts.min():+.3f} to {parts.max():+.3f} in {len(parts)} parts)"
            )
            figures[f"{regime}_part_gains_over_{one.name.replace(' ', '_')}"] = [
                round(float(gain), 4) for gain in parts
            ]
    print(f"AUC of the {first.detectors[0].name} by program, learnt from: a, b, c")
    for method, part in methods.items():
        aucs = (report.detectors[0].evaluation.methods[method].auc for report in reports.values())
        print(
            f"  {method:<26}{part.videos:>3} clips" + "".join(f"{shown(one):>18}" for one in aucs)
        )
    figures |= {
        f"{regime}_gain_over_{one.name.replace(' ', '_')}": [
            round(value, 4) for value in (gain.value, gain.low, gain.high)
        ]
        for regime, report in reports.items()
        for one in report.detectors
        if (gain := one.gain.get("auc_methods_several")) is not None
    }
    figures |= {
        "prepare_seconds": round(prepared, 1),
        "seconds": round(time.monotonic() - begun, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
