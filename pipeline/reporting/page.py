"""What all pages share: the look, the frame around a body, pictures and figures inside the file.

The look and the script that draws figures stand in the report's template, once.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from importlib.resources import files
from string import Template

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.reporting.figures import Figure
from pipeline.reporting.markup import escape, inline_json

DRAWING = "<script>\nconst figures"
"""How the template's own script begins."""


@cache
def template() -> str:
    """The report's template."""
    return (
        files("pipeline.reporting").joinpath("templates", "report.html.template").read_text("utf-8")
    )


def style(name: str) -> str:
    """The CSS that a kind of page has beside the common look; a file of this package."""
    return files("pipeline.reporting").joinpath("templates", name).read_text("utf-8")


def document(
    title: str, body: str, *, extra_style: str = "", figures: dict[str, Figure] | None = None
) -> str:
    """A whole page in the house's look.

    Args:
        title: plain text.
        body: HTML; whatever it took from files or people is escaped already.
        extra_style: more CSS, for this page alone.
        figures: Plotly figures by the id of their place; without them no script is in the page.
    """
    look = template().partition("<style>")[2].partition("</style>")[0]
    scripts = ""
    if figures:
        from plotly.offline import get_plotlyjs

        _, start, rest = template().partition(DRAWING)
        drawing = Template(start + rest.partition("</script>")[0]).substitute(
            figures=inline_json(figures)
        )
        scripts = f"<script>{get_plotlyjs()}</script>\n{drawing}</script>\n"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{look}{extra_style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n{scripts}</body>\n</html>\n"
    )


def picture(pixels: NDArray[np.uint8], words: str, *, width: int | None = None) -> str:
    """A picture (H, W, 3) inside the page, as JPEG, with words for those who cannot see it.

    Args:
        pixels: uint8 RGB.
        words: plain text.
        width: scale it down to this many pixels.
    """
    image = Image.fromarray(pixels)
    if width is not None and width < image.width:
        size = (width, round(image.height * width / image.width))
        image = image.resize(size, Image.Resampling.LANCZOS)
    held = io.BytesIO()
    image.save(held, "JPEG", quality=88)
    data = base64.b64encode(held.getvalue()).decode("ascii")
    return (
        f'<img src="data:image/jpeg;base64,{data}" width="{image.width}" '
        f'height="{image.height}" alt="{escape(words)}">'
    )


def render(title: str, body: str, figures: dict[str, Figure]) -> str:
    """A page that shows its title; `body` and `figures` as in `document`."""
    return document(title, f"<h1>{escape(title)}</h1>\n{body}", figures=figures)


def place(name: str, caption: str) -> str:
    """Where a figure is drawn, with its caption."""
    return (
        f"<figure><figcaption>{escape(caption)}</figcaption>"
        f'<div class="plot" id="{escape(name)}"></div></figure>'
    )
