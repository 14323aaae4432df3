"""HTML in pieces, for every page: what comes from files or people is escaped here."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence

from models.evaluation.evaluate import Estimate


def escape(text: object) -> str:
    """Text for HTML; what UTF-8 cannot hold is shown escaped."""
    return html.escape(str(text).encode("utf-8", "backslashreplace").decode("utf-8"))


def inline_json(value: object) -> str:
    """JSON that cannot end the script it stands in."""
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def percent(estimate: Estimate) -> str:
    """A share with its interval."""
    return f"{estimate.value:.1%} ({estimate.low:.0%} to {estimate.high:.0%})"


def cells(values: Iterable[object], tag: str = "td") -> str:
    """A row of a table; values that are text already escaped."""
    return "<tr>" + "".join(f"<{tag}>{value}</{tag}>" for value in values) + "</tr>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in a box that scrolls by itself."""
    body = "".join(cells(row) for row in rows)
    return f'<div class="wide"><table>{cells(head, "th")}{body}</table></div>'


def told(estimate: Estimate | None) -> str:
    """A number with its interval, or that there is none."""
    if estimate is None:
        return "<small>one class only</small>"
    return f"{estimate.value:.3f} <small>{estimate.low:.3f} to {estimate.high:.3f}</small>"


def sentence(text: str) -> str:
    """A phrase as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


def caution(headline: str, words: str) -> str:
    """What stands before a verdict, in its size; plain texts."""
    return (
        f'<p class="verdict caution">{escape(headline)}</p><p class="warning">{escape(words)}</p>'
    )


def card(heading: str, facts: dict[str, str]) -> str:
    """A card of facts."""
    rows = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items()
    )
    return f"<section><h3>{escape(heading)}</h3><dl>{rows}</dl></section>"
