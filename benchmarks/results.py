"""How good is each method on the demo's test split, over several seeds? A table for docs/demo.md.

    dvc repro && python benchmarks/results.py [--seeds 3] [--page docs/demo.md]

The demo's videos, split and frozen features are those of `dvc repro`, and so are all results for
the seed in params.yaml. For each other seed the backbone is fine-tuned, features are extracted with
it, a head and its mean-pool baseline are trained, and all are evaluated on people that were used
neither for training nor for early stopping. `recipe` uses presets/recipe.yaml: 5e-6 for the
backbone; flip, rotation and zoom. Runs of the same code with the same parameters on the same videos
are not repeated. Crops and features are kept in the store beside the others; once artifacts/results
is removed, `unmask store gc` removes them, too.

A value is the mean over seeds. Its interval draws groups with replacement, the same for all
seeds and all ways. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from models.evaluation.bootstrap import group_weights, weighted_metrics
from models.evaluation.evaluate import level_percent, percentiles

ROOT = Path(__file__).parents[1]
OUT = ROOT / "artifacts" / "results"
MANIFEST = ROOT / "artifacts" / "manifest.csv"
FROZEN = ROOT / "artifacts" / "weights" / "frozen"
RECIPE = ROOT / "presets" / "recipe.yaml"
WAYS = {
    ("frozen", "mean"): "frozen, mean-pool",
    ("frozen", "lstm"): "frozen, LSTM",
    ("recipe", "lstm"): "fine-tuned at 5e-6 (`presets/recipe.yaml`), LSTM",
    ("finetuned", "mean"): "fine-tuned, mean-pool",
    ("finetuned", "lstm"): "fine-tuned, LSTM",
}
SHOWN = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "recall_fake": "fakes caught",
    "recall_real": "reals cleared",
}
ROOMS = ("data", "features", "models", "pipeline")
ROUNDS = 2000
LEVEL = 0.95
"""Of the table's intervals, which are made here, whatever `evaluate.confidence` is."""
BEGIN, END = "<!-- results: made by `make results` -->", "<!-- /results -->"


def unmask(*arguments: object) -> None:
    """Runs a command; what it prints goes to stderr."""
    subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        cwd=ROOT, check=True, stdout=sys.stderr, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def run(branch: str, seed: int) -> Path:
    """Makes what is missing of one branch with one seed; returns its report."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    known, params["seed"] = params["seed"], seed
    videos = ROOT / params["videos"]
    if branch != "recipe" and seed == known:
        return ROOT / "artifacts" / "reports" / branch
    if branch == "recipe":
        for section, values in yaml.safe_load(RECIPE.read_text()).items():
            params[section] = params.get(section, {}) | values
    text = yaml.safe_dump(params)
    facts = [text.encode(), MANIFEST.read_bytes(), (FROZEN / "backbone.json").read_bytes()]
    facts += [path.read_bytes() for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    folder = OUT / f"{branch}-{seed}-{hashlib.sha256(b''.join(facts)).hexdigest()[:8]}"
    report = folder / "report"
    if (report / "metrics.json").is_file():
        return report
    folder.mkdir(parents=True, exist_ok=True)
    given = ["--params", folder / "params.yaml"]
    given[1].write_text(text, encoding="utf-8")
    weights, features = FROZEN, ROOT / "artifacts" / "features" / "frozen"
    if branch != "frozen":
        weights, features = folder / "weights", folder / "features"
        if not (weights / "backbone.json").is_file():
            of = ["--backbone", FROZEN, "-o", weights]
            unmask("finetune", MANIFEST, "--root", videos, *of, *given)
        of = ["--backbone", weights, "-o", features]
        unmask("extract", MANIFEST, "--root", videos, *of, *given)
    unmask("train", features, "--manifest", MANIFEST, "-o", folder / "bundle", *given)
    unmask("evaluate", folder / "bundle", features, "--manifest", MANIFEST, "-o", report, *given)
    return report


def check_reproduced() -> None:
    """Ends the program unless `dvc repro` has made the reports of today's parameters and code."""
    stages = ("evaluate@frozen", "evaluate@finetuned")
    command = [sys.executable, "-m", "dvc", "status", "--quiet", "--with-deps", *stages]
    if subprocess.run(command, cwd=ROOT).returncode:
        sys.exit("artifacts/reports are not of today's parameters and code: run `dvc repro` first")


def read(report: Path, model: str) -> tuple[NDArray[np.int64], list[str], NDArray[np.float64]]:
    """Labels, groups and P(fake) of each test video, by path."""
    with (report / "predictions.csv").open(encoding="utf-8", newline="") as handle:
        rows = sorted(csv.DictReader(handle), key=lambda row: row["path"])
    labels = np.array([row["label"] == "fake" for row in rows], np.int64)
    return labels, [row["group"] for row in rows], np.array([float(row[model]) for row in rows])


def measure(reports: list[Path], model: str) -> dict[str, NDArray[np.float64]]:
    """metric -> (1 + ROUNDS,): the mean over seeds, of all videos and of each draw."""
    parts = []
    for report in reports:
        labels, groups, scores = read(report, model)
        drawn = group_weights(labels, np.array(groups), rounds=ROUNDS, seed=0)
        weights = np.concatenate([np.ones((1, len(labels))), drawn])
        threshold = json.loads((report / "metrics.json").read_text())[model]["threshold"]
        parts.append(weighted_metrics(labels, scores, weights, threshold=threshold))
    return {name: np.mean([part[name] for part in parts], axis=0) for name in SHOWN}


def told(values: NDArray[np.float64], sign: str = "") -> str:
    """The value and its interval."""
    low, high = np.percentile(values[1:], percentiles(LEVEL))
    return f"{values[0]:{sign}.3f} ({low:{sign}.2f} to {high:{sign}.2f})"


def main() -> None:
    """Runs what is missing, prints the table, and puts it into the README where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    check_reproduced()
    branches = sorted({branch for branch, _ in WAYS})
    reports = {
        branch: [run(branch, seed) for seed in range(arguments.seeds)] for branch in branches
    }
    values = {way: measure(reports[way[0]], way[1]) for way in WAYS}
    labels, groups, _ = read(reports["finetuned"][0], "lstm")
    best = values["finetuned", "lstm"]
    lines = [
        f"Demo, test split: {len(labels)} videos of {len(set(groups))} people, `resnet50-thin`, "
        f"mean of {arguments.seeds} seeds, {level_percent(LEVEL)} % intervals in brackets:",
        "",
        "| way | " + " | ".join(SHOWN.values()) + " |",
        "| --- |" + " --- |" * len(SHOWN),
        *(
            f"| {name} | " + " | ".join(told(values[way][metric]) for metric in SHOWN) + " |"
            for way, name in WAYS.items()
        ),
        "",
        "Fine-tuned + LSTM is better by:",
        "",
        "| than | AUC | accuracy |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {told(best['auc'] - values[way]['auc'], '+')} "
            f"| {told(best['accuracy'] - values[way]['accuracy'], '+')} |"
            for way, name in WAYS.items()
            if way != ("finetuned", "lstm")
        ),
    ]
    print("\n".join(lines))
    if arguments.page is not None:
        text = arguments.page.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        new = f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}"
        arguments.page.write_text(new, encoding="utf-8")
    figures = {
        f"{branch}_{model}_{metric}": round(float(values[branch, model][metric][0]), 4)
        for branch, model in WAYS
        for metric in SHOWN
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
