"""Trains a detector on real faces and published fakes, and says whether it deserves to ship.

    python benchmarks/starter.py [--faces ../shared/faces] [--work .unmask/starter] [--quick]
        [-o artifacts/starter] [--set KEY=VALUE ...]

Only rows of the folder's labels.csv whose licence allows it are used (ALLOWED), and self-made
forgeries of their real videos. The detector's settings are first tested on people and forgery
programs that are held out in turn (`unmask evaluate --hold-out method`); a bundle is then trained
on all people, and its card written: README.md in Hugging Face's form, with the held-out result as
its `model-index`. It deserves to ship with unmask if the mean AUC over unseen programs is at least
0.70 with its interval above 0.60, and its Cllr below 0.90. Otherwise it does not ship, and
`unmask predict` without a bundle says so.

The last line is one JSON object: auc_methods with its interval, cllr, ships, bundle_mb, seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.transfer import QUICK
from benchmarks.transfer_data import ROOT, TRUE, prepare, unmask
from data.datasets.manifest import Manifest
from data.io.atomic_files import write_text
from features.store.feature_set import Features
from models.evaluation.evaluate import Estimate
from pipeline.config import load_params
from pipeline.hold_out.hold_out import hold_out
from pipeline.hold_out.result import HoldOutReport

ALLOWED = ("MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0", "GPL-3.0")
"""Licences of rows that weights may be trained on and shipped."""
LEAST_AUC, LEAST_LOW, MOST_CLLR = 0.70, 0.60, 0.90
INDEX = ("index.test=0",)
"""All people are learnt from: the result is that of the folds."""


def allowed_rows(faces: Path, into: Path) -> list[dict[str, str]]:
    """Writes a folder with links to the videos and the rows of labels.csv that may be used."""
    with (faces / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["licence"] in ALLOWED]
    into.mkdir(parents=True, exist_ok=True)
    for part in {Path(row["path"]).parts[0] for row in rows}:
        link = into / part
        if not link.is_symlink():
            link.symlink_to((faces / part).resolve(), target_is_directory=True)
    kept = {row["path"] for row in rows}
    with (into / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        for row in rows:  # an original that may not be used is not named
            table.writerow(row | {"original": row["original"] if row["original"] in kept else ""})
    return rows


def card(report: HoldOutReport, rows: list[dict[str, str]], ships: bool) -> str:
    """README.md of the bundle, in Hugging Face's form."""
    first = report.detectors[0].evaluation
    wanted = {
        "auc_methods": "AUC, mean over held-out programs",
        "pairs": "same-scene pairs ranked rightly",
        "cllr": "Cllr",
    }
    told = {words: first.metrics[name] for name, words in wanted.items() if name in first.metrics}
    index = "\n".join(
        f"        - type: {name.split(',')[0].lower().replace(' ', '-')}\n"
        f"          name: {name}\n          value: {one.value:.3f}"
        for name, one in told.items()
    )
    licences = Counter(row["licence"] for row in rows)
    sources = sorted({row["origin"].split("@")[0] for row in rows if row["origin"]})
    results = "\n".join(
        f"| {name} | {one.value:.2f} ({one.low:.2f} to {one.high:.2f}) |"
        for name, one in told.items()
    )
    counts = ", ".join(f"{name} {count}" for name, count in sorted(licences.items()))
    people = len({video.group for video in report.videos})
    return f"""---
library_name: unmask
tags: [deepfake-detection, video-classification]
license: apache-2.0
model-index:
  - name: unmask-starter
    results:
      - task:
          type: video-classification
          name: deepfake detection on unseen people and forgery programs
        dataset:
          type: private
          name: {len(report.videos)} clips of {people} groups of people
        metrics:
{index}
---

# A detector for a start

Trained by `make starter` on {len(rows)} clips of real faces and published fakes, and on self-made
forgeries of the real ones. {"" if ships else "**It is not good enough to ship with unmask.** "}On
people and forgery programs that were held out of training, with 95 % intervals by groups of people:

| | |
| --- | --- |
{results}

## What it cannot do

- It errs often on programs, cameras and compressions that its few training clips lack; a Cllr
  near 1 says that its likelihood ratios tell next to nothing.
- It looks at one face of a video: not at sound, text, background or edits.
- A score is evidence, never proof, and names no one.

## Sources

Licences of the clips' repositories: {counts}.
They do not cover the people seen. Shown in: {", ".join(sources)}.
"""


def shown(one: Estimate) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def main() -> None:
    """Trains, tests, prints the decision and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, default=ROOT.parent / "shared" / "faces")
    parser.add_argument("--work", type=Path, default=ROOT / ".unmask" / "starter")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "artifacts" / "starter")
    parser.add_argument("--backbone", default="resnet50-thin")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    if not (arguments.faces / "labels.csv").is_file():
        sys.exit(f"{arguments.faces} has no labels.csv; name the folder by --faces")
    begun = time.monotonic()
    work = arguments.work.resolve() / ("quick" if arguments.quick else "whole")
    settings = [*INDEX, *(QUICK if arguments.quick else ()), *arguments.set]
    params = load_params(None, settings)
    rows = allowed_rows(arguments.faces.resolve(), work / TRUE)
    made = [one for one in settings if one.split(".")[0] in ("forge", "frames", "index")]
    manifest, features = prepare(work / TRUE, work, backbone=arguments.backbone, settings=made)
    videos = Manifest.read(manifest).videos
    test = np.asarray([video.path.startswith(f"{TRUE}/") for video in videos])
    report = hold_out(Features(features), videos, test=test, params=params)
    metrics = report.detectors[0].evaluation.metrics
    auc, cllr = metrics["auc_methods"], metrics["cllr"]
    ships = auc.value >= LEAST_AUC and auc.low > LEAST_LOW and cllr.value < MOST_CLLR
    given = [word for one in settings for word in ("--set", one)]
    unmask("train", features, "--manifest", manifest, "-o", arguments.out, "--quiet", *given)
    write_text(arguments.out.with_suffix(".md"), card(report, rows, ships))
    size = sum(path.stat().st_size for path in arguments.out.rglob("*") if path.is_file())
    for name, one in metrics.items():
        print(f"{name:<28}{shown(one)}")
    print(f"{arguments.out}: {'deserves' if ships else 'does not deserve'} to ship with unmask")
    figures = {
        "auc_methods": [round(one, 4) for one in (auc.value, auc.low, auc.high)],
        "cllr": [round(one, 4) for one in (cllr.value, cllr.low, cllr.high)],
        "ships": bool(ships),
        "bundle_mb": round(size / 1e6, 1),
        "seconds": round(time.monotonic() - begun, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
