"""The page of a scan: how many videos got which verdict, the ranking, what failed.

Pages of a hundred thousand rows help nobody and break browsers: the page has the top of the
ranking, the table beside it has all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.video.picture import resized_note
from models.applicability.novelty import REASON
from models.bundle import Bundle
from pipeline.evaluation.model_card import bundle_facts
from pipeline.inference.provenance import HEADLINE, WARNING
from pipeline.inference.scan_result import Scan
from pipeline.leakage import training_leaks
from pipeline.reporting.charts.primitives import VERDICTS, Row, Rows, bars
from pipeline.reporting.page import render, sentence

MOST = 500
"""Rows of the ranking, and of the failures, on the page."""
BINS = 10


def render_scan(bundle: Bundle, scan: Scan) -> str:
    """Writes the page as text."""
    return render(
        "scan.jinja",
        scan=scan,
        summary=scan.summary,
        head=bundle.head,
        ratios=bundle.head.likelihood_ratio is not None,
        novel_words=REASON,
        headline=HEADLINE,
        caution_words=WARNING,
        warnings=warnings(bundle, scan),
        verdicts=verdict_counts(scan.summary),
        scores=score_counts([float(one.row.probability_fake or 0) for one in scan.scored]),
        cards={
            "Bundle": bundle_facts(bundle),
            "Again": {"command": scan.command, **(bundle.versions or {})},
        },
        most=MOST,
    )


def warnings(bundle: Bundle, scan: Scan) -> list[str]:
    """Warnings at the top of the page, plain text."""
    found = [f"This bundle: {leak}." for leak in training_leaks(bundle)]
    if bundle.pixels_note:
        found.append(sentence(bundle.pixels_note))
    if scan.resized:
        found.append(f"{resized_note(scan.resized)}.")
    left = scan.videos - len(scan.scored) - len(scan.failures)
    if left:
        found.append(f"Not finished: {left} videos are still to come.")
    return found


def score_counts(values: Sequence[float]) -> Rows:
    """Histogram of P(fake)."""
    counts, edges = np.histogram(values, BINS, (0, 1))
    rows = [
        Row(name=f"{low:.1f} to {high:.1f}", value=str(count), bar=int(count))
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return bars("how many videos have which P(fake)", rows)


def verdict_counts(counts: Mapping[str, Any]) -> Rows:
    """Number of videos by verdict."""
    rows = [
        Row(name=name, value=str(counts[name]), bar=counts[name], colour=colour)
        for name, colour in VERDICTS.items()
    ]
    return bars("how many videos got which verdict", rows)
