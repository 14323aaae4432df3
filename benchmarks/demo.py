"""How hard is the demo data set? Prints the AUC of metadata and of frozen features.

    python benchmarks/demo.py [--seeds 3] [--people 140]

For each seed the demo of params.yaml is rendered into a temporary folder. Prints the seconds to
render, the share of frames in which the face detector finds the face, and areas under the ROC
curve, cross-validated by person: of classifiers on size, bit rate, resolution and duration (should
be 0.5), and of logistic regression on mean-pooled frozen features (should leave room to
fine-tuning). The last line is one JSON object with the means over the seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.demo import DemoConfig, write_demo
from data.faces.crops import read_frames
from data.faces.tracker import FaceFinder
from data.video.frames import FrameRecipe
from data.video.probe import probe
from pipeline.config import load_params

ROOT = Path(__file__).parents[1]
FOLD_DRAWS = 4
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)


def grouped_scores(
    model: Any, features: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Scores of each video by models that have not seen its person, (FOLD_DRAWS, N)."""
    return np.asarray(
        [
            cross_val_predict(
                model,
                features,
                labels,
                groups=groups,
                cv=GroupKFold(5, shuffle=True, random_state=draw),
                method="predict_proba",
            )[:, 1]
            for draw in range(FOLD_DRAWS)
        ]
    )


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    return float(np.mean([roc_auc_score(labels, score) for score in scores]))


def measure(
    config: DemoConfig, recipe: FrameRecipe, encode: Callable[[np.ndarray], np.ndarray]
) -> dict[str, float]:
    """Renders one demo and measures it."""
    figures: dict[str, float] = {}
    finder = FaceFinder()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "demo"
        start = time.perf_counter()
        write_demo(folder, config, workers=os.cpu_count() or 1)
        figures["render_seconds"] = time.perf_counter() - start
        with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        metadata, pooled, found = [], [], []
        for row in rows:
            info = probe(folder / row["path"])
            metadata.append(
                [info.size_bytes, info.bit_rate, info.width, info.height, info.duration_seconds]
            )
            frames = read_frames(folder / row["path"], recipe, faces=finder)
            pooled.append(encode(frames.pixels).mean(axis=0))
            found.append(frames.face_found.mean())
    labels = np.asarray([row["label"] == "fake" for row in rows], int)
    groups = np.asarray([row["group"] for row in rows])
    methods = np.asarray([row["method"] for row in rows])
    figures["face_found"] = float(np.mean(found))
    for key, model in (
        ("metadata_logistic_auc", make_pipeline(StandardScaler(), LogisticRegression())),
        ("metadata_forest_auc", RandomForestClassifier(200, min_samples_leaf=3, random_state=0)),
        (
            "metadata_boosting_auc",
            GradientBoostingClassifier(n_estimators=60, max_depth=2, random_state=0),
        ),
    ):
        figures[key] = auc(labels, grouped_scores(model, np.log(metadata), labels, groups))
    tried = [
        grouped_scores(
            make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=3000)),
            np.asarray(pooled),
            labels,
            groups,
        )
        for penalty in PENALTIES
    ]
    best = max(tried, key=lambda scores: auc(labels, scores))
    figures["frozen_mean_auc"] = auc(labels, best)
    for method in sorted(set(methods) - {"real"}):
        chosen = (methods == method) | (labels == 0)
        figures[f"frozen_mean_auc_{method}"] = auc(labels[chosen], best[:, chosen])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    params = load_params(ROOT / "params.yaml")
    parser.add_argument("--people", type=int, default=params.demo.people)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    from models.backbones.registry import load_backbone
    from models.backbones.tensorflow_encoder import TensorFlowEncoder

    network = load_backbone("resnet50-thin", size=params.frames.size)
    batch_size = params.frames.count
    encoder = TensorFlowEncoder(network, batch_size=batch_size)

    def encode(frames: np.ndarray) -> np.ndarray:
        padded = np.zeros((batch_size, *frames.shape[1:]), np.uint8)
        padded[: len(frames)] = frames
        return encoder(padded)[: len(frames)]

    results = [
        measure(params.demo.replace(people=arguments.people, seed=seed), params.frames, encode)
        for seed in range(arguments.seeds)
    ]
    print(f"{'':32}" + "".join(f"{f'seed {seed}':>10}" for seed in range(len(results))))
    for key in results[0]:
        print(f"{key:32}" + "".join(f"{result[key]:10.3f}" for result in results))
    means = {key: round(float(np.mean([r[key] for r in results])), 4) for key in results[0]}
    print(json.dumps(means))


if __name__ == "__main__":
    main()
