"""`unmask compare`: do two reports' models differ on the videos that both were measured on?"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import DatasetError, InputError, MismatchError, StoreError, plain
from data.manifest import LABEL_NAMES
from models.delong import delong
from models.evaluate import Evaluation, difference, evaluate
from pipeline.results import NAMES

FACTS = ("path", "label", "group", "method")
COMPARED = ("auc", "ap", "balanced_accuracy", "log_loss", "brier")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One model's column of a report's predictions.csv.

    Attributes:
        name: report and model, for people.
        rows: path -> (label, group, method, P(fake)).
        threshold: from metrics.json.
    """

    name: str
    rows: dict[str, tuple[int, str, str, float]]
    threshold: float


def compare_reports(
    a: Path, b: Path, *, model: str | None, other: str | None, rounds: int, seed: int, as_json: bool
) -> None:
    """Prints the difference between two models' AUC, by DeLong and by a bootstrap of groups.

    Raises:
        InputError: a report or a model is not there.
        MismatchError: a video has two labels or groups, or no video is in both.
        DatasetError: one class only.
    """
    first = read_scores(a, model)
    second = read_scores(b, other or model)
    paths = sorted(first.rows.keys() & second.rows.keys())
    if not paths:
        raise MismatchError(f"{a} and {b} have no video in common; evaluate on the same manifest")
    for path in paths:
        if first.rows[path][:2] != second.rows[path][:2]:
            raise MismatchError(
                f"{path} has one label or group in {a} and another in {b}; "
                "evaluate both on the same manifest"
            )
    labels = np.asarray([first.rows[path][0] for path in paths])
    groups = [first.rows[path][1] for path in paths]
    methods = [first.rows[path][2] for path in paths]
    scores = [np.asarray([one.rows[path][3] for path in paths]) for one in (first, second)]
    tested = delong(labels, scores[0], scores[1])
    measured: list[Evaluation] = [
        evaluate(
            labels, values, tuple(groups), tuple(methods), threshold=one.threshold,
            rounds=rounds, seed=seed,
        )
        for values, one in zip(scores, (first, second), strict=True)
    ]  # fmt: skip
    alone = len(first.rows.keys() ^ second.rows.keys())
    facts: dict[str, Any] = {
        "a": first.name,
        "b": second.name,
        "videos": len(paths),
        "groups": len(set(groups)),
        "left_out": alone,
        "delong": tested.__dict__,
        "bootstrap": {
            name: difference(measured[0], measured[1], name).__dict__ for name in COMPARED
        },
    }
    if as_json:
        print(json.dumps(facts, indent=2, sort_keys=True))
        return
    print(plain(f"A: {first.name}, AUC {tested.auc_a:.3f}"))
    print(plain(f"B: {second.name}, AUC {tested.auc_b:.3f}"))
    left = f"; {alone} that only one has are left out" if alone else ""
    print(f"{len(paths)} videos of {len(set(groups))} groups in both{left}")
    print("A - B, 95 % intervals in brackets")
    print(
        f"  AUC, DeLong               {tested.difference:+.3f} "
        f"({tested.low:+.3f} to {tested.high:+.3f}), p = {tested.p:.3g}"
    )
    for name, one in facts["bootstrap"].items():
        word = f"{name.replace('_', ' ')}, groups drawn"
        print(f"  {word:<25} {one['value']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})")
    drawn = facts["bootstrap"]["auc"]
    better = "A is better" if drawn["low"] > 0 else "B is better" if drawn["high"] < 0 else ""
    print(better or "not told apart: the interval over groups holds 0")


def read_scores(report: Path, model: str | None) -> Scored:
    """One model's scores; the first model's where none is named.

    Raises:
        InputError: no report, or no such model.
        StoreError: the files are damaged.
    """
    path = report / "predictions.csv"
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            names = [name for name in reader.fieldnames or () if name not in FACTS]
            chosen = model or (names[0] if names else "")
            if chosen not in names:
                known = ", ".join(names)
                raise InputError(f"{path} has no model {chosen!r}; it has {known}")
            rows = {
                row["path"]: (
                    LABEL_NAMES.index(row["label"]), row["group"], row["method"], float(row[chosen])
                )
                for row in reader
            }  # fmt: skip
        metrics = json.loads((report / "metrics.json").read_text("utf-8"))
        threshold = float(metrics[chosen]["threshold"])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{report} holds no report; write one with `unmask evaluate`") from error
    except (KeyError, ValueError, TypeError) as error:
        raise StoreError(f"the report {report} is damaged; evaluate again") from error
    if not rows:
        raise DatasetError(f"{path} lists no video")
    return Scored(name=f"{report}, {NAMES.get(chosen, chosen)}", rows=rows, threshold=threshold)
