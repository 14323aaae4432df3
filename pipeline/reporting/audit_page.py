"""The page of `unmask audit`."""

from __future__ import annotations

from data.datasets.manifest import LABEL_NAMES
from pipeline.datasets.audit import Audit
from pipeline.reporting.charts.primitives import (
    FAKE,
    REAL,
    Row,
    Rows,
    bars,
    interval_row,
    unit_axis,
)
from pipeline.reporting.page import render

MOST = 100
"""Rows of a table of findings."""
COLOURS = dict(zip(LABEL_NAMES, (REAL, FAKE), strict=True))


def render_audit(found: Audit, name: str) -> str:
    """Writes the page as text; `name` is the manifest's."""
    return render(
        "audit.jinja",
        found=found,
        name=name,
        most=MOST,
        balance=class_balance(found),
        metadata=metadata_aucs(found),
        outside=outside_aucs(found),
    )


def class_balance(found: Audit) -> Rows:
    """Videos by split and method."""
    rows = [
        Row(
            name=f"{one['split']} {one['method']}",
            value=f"{one['videos']} videos, {one['groups']} groups",
            bar=one["videos"],
            colour=COLOURS[one["label"]],
        )
        for one in found.balance
    ]
    return bars("videos by split and method", rows)


def metadata_aucs(found: Audit) -> Rows:
    """How well metadata alone predict the label."""
    return Rows(
        words="AUC of metadata alone against the label, with intervals",
        axis=unit_axis("AUC"),
        rows=[
            interval_row(one["what"], one["auc"], one["low"], one["high"]) for one in found.metadata
        ],
    )


def outside_aucs(found: Audit) -> Rows:
    """How well pixels outside the face tell fakes from their originals."""
    return Rows(
        words="AUC of pixels outside the face, fakes against their originals, with intervals",
        axis=unit_axis("AUC"),
        rows=[
            interval_row(one["what"], one["auc"], one["low"], one["high"])
            for one in found.outside.aucs
        ],
    )
