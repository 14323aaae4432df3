"""The audit's page: one file, no network, in the look of the report; bars are plain SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.evaluation.evaluate import level_percent
from pipeline.reporting.markup import escape, table
from pipeline.reporting.page import document

if TYPE_CHECKING:
    from pipeline.evaluation.audit import Audit

MOST = 100
"""Rows of a table of findings."""
COLOURS = {"real": "#009e73", "fake": "#d55e00"}


def render_audit(found: Audit, name: str) -> str:
    """Writes the page as text."""
    answer = "".join(f'<p class="warning">{escape(line)}</p>' for line in found.warnings)
    straddling = [
        [escape(row["what"]), escape(row["name"]), escape(" and ".join(row["splits"])),
         escape(row["a"]), escape(row["b"])]
        for row in found.straddling[:MOST]
    ]  # fmt: skip
    pairs = [
        [escape(row["a"]), escape(row["b"]), f"{row['differs']:.1%}"]
        for row in found.lookalikes[:MOST]
    ]
    parts = [
        f"<h1>Audit of {escape(name)}</h1>",
        f'<div class="answer"><p>{found.videos} videos in {found.groups} groups. ',
        f"{len(found.straddling)} people, originals or videos are in two splits.</p></div>",
        answer,
        "<h2>Classes by split and method</h2>",
        bars([(f"{r['split']} {r['method']}", r["videos"], COLOURS[r["label"]],
               f"{r['videos']} videos, {r['groups']} groups") for r in found.balance]),
        "<h2>What metadata tell about the label</h2>",
        "<p>AUC by models that never saw the group they score, with its "
        f"{level_percent(found.level)}% interval by groups; 0.5 is nothing.</p>",
        bars([(r["what"], r["auc"], "#0072b2", f"{r['auc']:.3f} ({r['low']:.2f} to "
               f"{r['high']:.2f})") for r in found.metadata], most=1.0),
        "<h2>On two sides of a split</h2>",
        table(["what", "name", "splits", "one", "other"], straddling) if straddling
        else "<p>Nothing.</p>",
        "<h2>Near-duplicates in different groups</h2>",
        table(["one", "other", "bits that differ"], pairs) if pairs else "<p>None.</p>",
    ]  # fmt: skip
    return document(f"Audit of {name}", "\n".join(parts))


def bars(rows: list[tuple[str, Any, str, str]], *, most: float | None = None) -> str:
    """A table of name, bar and words; a bar is as long as its value."""
    if not rows:
        return "<p>Nothing to show.</p>"
    longest = most or max(float(row[1]) for row in rows) or 1
    lines = [
        [
            escape(name),
            f'<svg width="160" height="12" role="img" aria-label="{escape(words)}">'
            f'<rect width="{160 * float(value) / longest:.1f}" height="12" fill="{colour}"/></svg>',
            escape(words),
        ]
        for name, value, colour, words in rows
    ]
    return table(["", "", ""], lines)
