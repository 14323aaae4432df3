"""The page of a scan: how many got which verdict, the ranking, what failed; no script, no network.

Pages of a hundred thousand rows help nobody and break browsers: the page has the top of the
ranking, the table beside it has all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.video.canvas import resized_note
from models.bundle import Bundle
from pipeline.evaluation.model_card import calibration_facts, count_trained_on, leak_facts
from pipeline.inference.provenance import HEADLINE, WARNING, Provenance
from pipeline.inference.scan_journal import Row
from pipeline.leakage import training_leaks
from pipeline.reporting.audit_page import bars
from pipeline.reporting.markup import card, caution, escape, table
from pipeline.reporting.page import document, style
from pipeline.reporting.verdict_figures import COLOURS

MOST = 500
"""Rows of the ranking, and of the failures, on the page."""
BINS = 10


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One scored video and its verdict."""

    row: Row
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why videos failed.

    Attributes:
        count: of videos that failed so; of numbers in the message, any.
        failure: class of the failure.
        message: of the first of them.
        path: of the first of them.
    """

    count: int
    failure: str
    message: str
    path: str

    @property
    def words(self) -> str:
        """One line: of one video as such, of several with one for an example."""
        if self.count == 1:
            return f"{self.path}: {self.failure}: {self.message}"
        return f"{self.count} x {self.failure}: {self.message}; {self.path} for one"


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a scan found so far.

    Attributes:
        folder: that was scanned.
        videos: in it.
        scored: highest P(fake) first.
        failures: rows without a score, by path.
        command: what to type for the same scan.
        provenance: of the bundle.
    """

    folder: str
    videos: int
    scored: Sequence[Scored]
    failures: Sequence[Row]
    command: str
    provenance: Provenance

    @property
    def reasons(self) -> list[Reason]:
        """The failures summed up, the most frequent first."""
        alike: dict[tuple[str, str], list[Row]] = {}
        for row in self.failures:
            key = str(row.failure), re.sub(r"\d+", "0", str(row.message))
            alike.setdefault(key, []).append(row)
        found = [
            Reason(count=len(rows), failure=failure, message=str(rows[0].message),
                   path=rows[0].path)
            for (failure, _), rows in alike.items()
        ]  # fmt: skip
        return sorted(found, key=lambda one: (-one.count, one.path))

    @property
    def resized(self) -> list[str]:
        """Names of the scored videos whose picture changes its size."""
        return sorted(one.row.path for one in self.scored if one.row.resized)

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, for scan.json and for programs."""
        verdicts = Counter(one.verdict for one in self.scored)
        failed = Counter(str(row.failure) for row in self.failures)
        return {
            "warning": self.provenance.warning,
            "training": self.provenance.line,
            "videos": self.videos,
            "scored": len(self.scored),
            **{name: verdicts[name] for name in COLOURS},
            "failed": dict(sorted(failed.items())),
            "resized": len(self.resized),
            "finished": len(self.scored) + len(self.failures) == self.videos,
        }


def render_scan(bundle: Bundle, scan: Scan) -> str:
    """Writes the page as text."""
    summary = scan.summary
    title = f"Scan of {scan.folder}"
    body = [
        f"<h1>{escape(title)}</h1>",
        caution(HEADLINE, WARNING) if scan.provenance.rendered_alone else "",
        f'<div class="answer">{"".join(f"<p>{line}</p>" for line in answer(bundle, scan))}'
        f"<p>This bundle: {escape(scan.provenance.line)}.</p></div>",
        *(
            f'<p class="warning">This bundle: {escape(mark)}.</p>'
            for mark in training_leaks(bundle)
        ),
    ]
    if bundle.pixels_note:
        note = f"{bundle.pixels_note[0].upper()}{bundle.pixels_note[1:]}."
        body.append(f'<p class="warning">{escape(note)}</p>')
    if scan.resized:
        body.append(f'<p class="warning">{escape(resized_note(scan.resized))}.</p>')
    if not summary["finished"]:
        left = scan.videos - len(scan.scored) - len(scan.failures)
        body.append(f'<p class="warning">Not finished: {left} videos are still to come.</p>')
    body += [
        '<div class="pair"><div><h2>Verdicts</h2>',
        bars(
            [(name, summary[name], colour, str(summary[name])) for name, colour in COLOURS.items()]
        )
        if scan.scored
        else "<p>Nothing was scored.</p>",
        "</div><div><h2>Scores</h2>",
        histogram(scan),
        "</div></div>",
        "<h2>Highest P(fake)</h2>",
        ranking(scan),
        "<h2>Videos that failed</h2>",
        failures(scan),
        "<h2>How it was made</h2>",
        '<div class="pair cards">',
        card("Bundle", facts(bundle)),
        card("Again", {"command": scan.command, **(bundle.versions or {})}),
        "</div>",
    ]
    return document(title, "\n".join(body), extra_style=style("verdict.css"))


def answer(bundle: Bundle, scan: Scan) -> list[str]:
    """How many, by which rule, and what it does not mean; lines of HTML."""
    summary = scan.summary
    calibration = bundle.head.calibration
    band = (
        f", UNSURE from {calibration.unsure_low:.3f} to {calibration.unsure_high:.3f}"
        if calibration.unsure_low is not None and calibration.unsure_high is not None
        else ""
    )
    return [
        f"Of {scan.videos} videos <strong>{summary['FAKE']}</strong> are called FAKE, "
        f"{summary['UNSURE']} UNSURE, {summary['REAL']} REAL; {len(scan.failures)} gave no score. "
        f"FAKE is P(fake) at or above {bundle.head.threshold:.3f}{band}.",
        "A ranking says where to look first. The more of the videos are real, the more of those "
        "called FAKE are false alarms; how many reals are accused stands in the report of "
        "<code>unmask evaluate</code>. The score is of the largest lasting face alone: "
        "<code>unmask predict --report</code> shows one video, with every face.",
    ]


def histogram(scan: Scan) -> str:
    """How many videos have which score."""
    values = [float(one.row.probability_fake or 0) for one in scan.scored]
    counts, edges = np.histogram(values, BINS, (0, 1))
    return bars(
        [
            (f"{low:.1f} to {high:.1f}", int(count), "#0072b2", str(count))
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
    )


def ranking(scan: Scan) -> str:
    """The top of the table."""
    rows = [
        [
            rank,
            f"{one.row.probability_fake:.3f}",
            f'<strong class="{one.verdict}">{one.verdict}</strong>',
            f'<span class="path">{escape(one.row.path)}</span>',
            f"{one.row.faces_found} of {one.row.frames_used}",
        ]
        for rank, one in enumerate(scan.scored[:MOST], start=1)
    ]
    if not rows:
        return "<p>None.</p>"
    more = f"<p>{len(scan.scored)} in all, see scores.csv.</p>" if len(scan.scored) > MOST else ""
    return table(["", "P(fake)", "verdict", "video", "face seen in frames"], rows) + more


def failures(scan: Scan) -> str:
    """Videos without a score, and why."""
    rows = [
        [
            f'<span class="path">{escape(row.path)}</span>',
            escape(row.failure),
            f'<span class="path">{escape(row.message)}</span>',
        ]
        for row in scan.failures[:MOST]
    ]
    if not rows:
        return "<p>None.</p>"
    more = (
        f"<p>{len(scan.failures)} in all, see failures.csv.</p>"
        if len(scan.failures) > MOST
        else ""
    )
    return summed_up(scan) + table(["video", "class", "why"], rows) + more


def summed_up(scan: Scan) -> str:
    """The reasons with their counts; nothing where each video has its own."""
    reasons = scan.reasons
    if len(reasons) == len(scan.failures):
        return ""
    rows = [
        [
            one.count,
            escape(one.failure),
            f'<span class="path">{escape(one.message)}</span>',
            f'<span class="path">{escape(one.path)}</span>',
        ]
        for one in reasons[:MOST]
    ]
    return table(["videos", "class", "why", "one of them"], rows) + "<p>Each:</p>"


def facts(bundle: Bundle) -> dict[str, str]:
    """What judged the videos."""
    return {
        "head": f"{bundle.head.config.kind}, {bundle.head.config.units} units",
        "backbone": f"{bundle.recipe['backbone']} ({bundle.recipe['backbone_digest'][:12]})",
        "threshold": f"{bundle.head.threshold:.6f}",
        **calibration_facts(bundle.head),
        **{f"head, {name}": count_trained_on(part) for name, part in bundle.trained_on.items()},
        **leak_facts(bundle),
    }
