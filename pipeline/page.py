"""The shell of all pages with plots: the report's style and script around other contents."""

from __future__ import annotations

from importlib.resources import files
from string import Template

from pipeline.markup import escape, inline_json
from pipeline.plots import Figure


def render(title: str, body: str, figures: dict[str, Figure]) -> str:
    """A page as text: one file, no network.

    Args:
        title: of the page.
        body: HTML below the title, all escaped.
        figures: by the id of their place in `body`.
    """
    from plotly.offline import get_plotlyjs

    shell = files("pipeline").joinpath("report.html.template").read_text("utf-8")
    before, _, rest = shell.partition("<main>")
    after = rest.partition("</main>")[2]
    return Template(f"{before}<main>\n<h1>$title</h1>\n$body\n</main>{after}").substitute(
        title=escape(title), body=body, figures=inline_json(figures), plotly=get_plotlyjs()
    )


def place(name: str, caption: str) -> str:
    """Where a figure is drawn, with its caption."""
    return (
        f"<figure><figcaption>{escape(caption)}</figcaption>"
        f'<div class="plot" id="{escape(name)}"></div></figure>'
    )
