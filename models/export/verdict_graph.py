"""What is said of a score, as a graph: calibration, likelihood ratio, novelty and verdict.

In float64, as `models.evaluation` and `models.applicability.novelty` compute it, number by
number. `pipeline.inference.weighing` puts the same together for `predict`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.applicability.novelty import FLOOR, TINY, Novelty
from models.bundle import Bundle
from models.evaluation.calibration import LEAST, MOST, Calibration
from models.evaluation.likelihood_ratio import LEVEL, SUREST, LikelihoodRatio
from models.export.graph import DOUBLE, FLOAT, INT64, Graph

VERDICTS = {"REAL": 0, "FAKE": 1, "UNSURE": -1}
"""As the output "verdict" has them; the first two are the labels."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Names of tensors (B,); None for what the bundle cannot tell."""

    probability: str  # float32 P(fake)
    log10_lr: tuple[str, str, str] | None  # float32: told, and both ends of its interval
    novelty: str | None  # float32, above 1 is novel
    verdict: str  # int64


def add_verdict(graph: Graph, raw: str, features: str, mask: str, bundle: Bundle) -> Judgement:
    """From raw scores (B,) and the frames' features (B, T, D), float32, to what is told."""
    head = bundle.head
    probability = _calibrated(graph, graph.cast(raw, DOUBLE), head.calibration)
    fake = _compared(graph, "GreaterOrEqual", probability, head.threshold)
    verdict = graph.cast(fake, INT64)
    low, high = head.calibration.unsure_low, head.calibration.unsure_high
    if low is not None and high is not None:
        within = (
            _compared(graph, "GreaterOrEqual", probability, low),
            _compared(graph, "Less", probability, high),
        )
        verdict = _unsure(graph, graph.add("And", *within), verdict)
    novelty = novel = None
    if bundle.novelty is not None:
        novelty = _novelty(graph, features, mask, bundle.novelty)
        novel = _compared(graph, "Greater", novelty, 1)
        verdict = _unsure(graph, novel, verdict)
        novelty = graph.cast(novelty, FLOAT)
    ratios = None
    if head.likelihood_ratio is not None:
        found = _likelihood_ratio(graph, probability, head.likelihood_ratio)
        if novel is not None:  # its score says nothing
            nothing = graph.constant(np.nan, np.float64)
            found = [graph.add("Where", novel, nothing, one) for one in found]
        told, lower, upper = (graph.cast(one, FLOAT) for one in found)
        ratios = (told, lower, upper)
    return Judgement(
        probability=graph.cast(probability, FLOAT),
        log10_lr=ratios,
        novelty=novelty,
        verdict=verdict,
    )


def _compared(graph: Graph, operator: str, tensor: str, value: float) -> str:
    return graph.binary(operator, tensor, value, np.float64)


def _unsure(graph: Graph, where: str, verdict: str) -> str:
    return graph.add("Where", where, graph.constant(VERDICTS["UNSURE"], np.int64), verdict)


def _logit(graph: Graph, p: str, least: float, most: float) -> str:
    """log(p / (1 - p)) of p between two bounds."""
    bounds = (graph.constant(one, np.float64) for one in (least, most))
    p = graph.add("Clip", p, *bounds)
    other = graph.add("Sub", graph.constant(1, np.float64), p)
    return graph.add("Sub", graph.add("Log", p), graph.add("Log", other))


def _calibrated(graph: Graph, raw: str, calibration: Calibration) -> str:
    """`Calibration.apply`."""
    if calibration.method == "temperature":
        logits = _logit(graph, raw, LEAST, MOST)
        scaled = graph.binary("Div", logits, calibration.temperature, np.float64)
        return graph.add("Sigmoid", scaled)
    if calibration.method == "isotonic":
        return _interpolated(graph, raw, calibration)
    return raw


def _interpolated(graph: Graph, raw: str, calibration: Calibration) -> str:
    """Straight lines between the knots, level beyond the first and the last."""
    score, probability = np.asarray(calibration.knots).T  # (K,), rising
    if len(score) == 1:
        return graph.add(
            "Add",
            graph.binary("Mul", raw, 0, np.float64),
            graph.constant(probability[0], np.float64),
        )
    span = np.diff(score)
    slope = np.divide(np.diff(probability), span, out=np.zeros_like(span), where=span > 0)
    ends = (graph.constant(one, np.float64) for one in (score[0], score[-1]))
    x = graph.add("Clip", raw, *ends)
    wide = graph.add("Unsqueeze", x, graph.ints(1))
    passed = graph.binary("GreaterOrEqual", wide, score[1:-1], np.float64)
    piece = graph.reduce("ReduceSum", graph.cast(passed, INT64), 1)  # (B,) from 0 to K - 2
    start, height, steepness = (
        graph.add("Gather", graph.constant(one, np.float64), piece)
        for one in (score[:-1], probability[:-1], slope)
    )
    rise = graph.add("Mul", graph.add("Sub", x, start), steepness)
    return graph.add("Add", height, rise)


def _likelihood_ratio(graph: Graph, probability: str, ratio: LikelihoodRatio) -> list[str]:
    """`LikelihoodRatio.of_score`: what is told, and both ends of the interval."""
    logits = _logit(graph, probability, SUREST, 1 - SUREST)
    whole = _bounded(graph, logits, (ratio.slope, ratio.intercept, ratio.lower, ratio.upper))
    if not ratio.draws:
        return [whole, whole, whole]
    columns = np.asarray(ratio.draws, np.float64).T  # (4, R)
    wide = graph.add("Unsqueeze", logits, graph.ints(1))
    drawn = _bounded(graph, wide, columns)  # (B, R)
    count = columns.shape[1]
    ordered, _ = graph.several(
        "TopK", drawn, graph.ints(count), outputs=2, axis=1, largest=0, sorted=1
    )
    tail = (1 - LEVEL) / 2
    low, high = (_quantile(graph, ordered, count, share) for share in (tail, 1 - tail))
    low, high = graph.add("Min", low, whole), graph.add("Max", high, whole)
    zero = graph.constant(0, np.float64)
    below = graph.add("Where", graph.add("Less", high, zero), high, zero)
    return [graph.add("Where", graph.add("Greater", low, zero), low, below), low, high]


def _bounded(graph: Graph, logits: str, line: object) -> str:
    """slope * logit + intercept between `lower` and `upper`."""
    slope, intercept, lower, upper = np.asarray(line, np.float64)
    x = graph.binary("Mul", logits, slope, np.float64)
    x = graph.binary("Add", x, intercept, np.float64)
    x = graph.binary("Max", x, lower, np.float64)
    return graph.binary("Min", x, upper, np.float64)


def _quantile(graph: Graph, ordered: str, count: int, share: float) -> str:
    """NumPy's quantile of (B, R) values in order."""
    place = (count - 1) * share
    first = int(place)
    low, high = (
        graph.add("Gather", ordered, graph.constant(at, np.int64), axis=1)
        for at in (first, min(first + 1, count - 1))
    )
    part = graph.binary("Mul", graph.add("Sub", high, low), place - first, np.float64)
    return graph.add("Add", low, part)


def _novelty(graph: Graph, features: str, mask: str, novelty: Novelty) -> str:
    """`Novelty.distance` of the mean embedding of each sequence."""
    exists = graph.add("Unsqueeze", mask, graph.ints(2))
    present = graph.add(
        "Where", exists, graph.cast(features, DOUBLE), graph.constant(0, np.float64)
    )
    count = graph.reduce("ReduceSum", graph.cast(mask, DOUBLE), 1, keep=True)
    count = graph.binary("Max", count, 1, np.float64)
    mean = graph.add("Div", graph.reduce("ReduceSum", present, 1), count)  # (B, D)
    centred = graph.binary(
        "Sub", _transformed(graph, mean, novelty.exponent), novelty.mean, np.float64
    )
    # Kept as float16, as the bundle keeps them.
    directions = graph.cast(graph.constant(novelty.directions.T, np.float16), DOUBLE)  # (D, K)
    along = graph.add("MatMul", centred, directions)
    inside = graph.add("Mul", along, along)
    squares = graph.reduce("ReduceSum", graph.add("Mul", centred, centred), 1)
    rest = graph.add("Sub", squares, graph.reduce("ReduceSum", inside, 1))
    rest = graph.binary("Max", rest, 0, np.float64)
    scaled = graph.reduce(
        "ReduceSum", graph.binary("Div", inside, novelty.variances, np.float64), 1
    )
    total = graph.add("Add", scaled, graph.binary("Div", rest, novelty.rest, np.float64))
    return graph.binary("Div", graph.add("Sqrt", total), novelty.threshold, np.float64)


def _transformed(graph: Graph, mean: str, exponent: float) -> str:
    """`models.applicability.novelty.transformed` of (B, D)."""
    if not exponent:
        rectified = graph.binary("Max", mean, 0, np.float64)
        return graph.add("Log", graph.binary("Add", rectified, FLOOR, np.float64))
    powers = graph.binary("Pow", graph.add("Abs", mean), exponent, np.float64)
    powers = graph.add("Mul", graph.add("Sign", mean), powers)
    squares = graph.reduce("ReduceSum", graph.add("Mul", powers, powers), 1, keep=True)
    length = graph.binary("Max", graph.add("Sqrt", squares), TINY, np.float64)
    return graph.add("Div", powers, length)
