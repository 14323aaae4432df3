"""How a page is made: a Jinja2 template that escapes whatever it is given, and pictures inside it.

A page is one file without scripts that fetches nothing; its policy (CSP, in `templates/base.jinja`)
holds a browser to that.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from data.video.failures import with_reason
from models.evaluation.evaluate import Estimate, level_percent
from models.evaluation.likelihood_ratio import ratio_in_words
from pipeline.evaluation.results import NAMES
from pipeline.reporting.charts.primitives import VERDICTS, shade
from pipeline.reporting.sections.glossary import with_glossary


def render(template: str, **values: Any) -> str:
    """A page as text; what UTF-8 cannot hold is shown escaped.

    A name that the template needs and `values` lack is an error.
    """
    text = environment().get_template(template).render(values)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def environment() -> Environment:
    """The templates' environment, with the filters that they share."""
    made = Environment(
        loader=PackageLoader("pipeline.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "split_name": split_name,
        "with_glossary": with_glossary,
        "followed_by": lambda text, end: f"{text}{end}",
        "level": level_percent,
        "lower_first": lambda text: text[:1].lower() + text[1:],
        "model_name": lambda name: NAMES.get(name, name),
        "percent": percent,
        "picture": picture,
        "ratio": ratio_in_words,
        "sentence": sentence,
        "shade": shade,
    }
    made.tests["nan"] = math.isnan
    made.globals |= {"verdict_colours": VERDICTS, "with_reason": with_reason}
    return made


def percent(estimate: Estimate) -> str:
    """A share with its interval."""
    return f"{estimate.value:.1%} ({estimate.low:.0%} to {estimate.high:.0%})"


def split_name(split: str) -> str:
    """A split in a sentence, after "of"."""
    return "all splits" if split == "all" else f"the {split} split"


def sentence(text: str) -> str:
    """A phrase as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A JPEG inside the page: its `data:` URL and its size in pixels."""

    url: str
    width: int
    height: int


def picture(pixels: NDArray[np.uint8], width: int | None = None) -> Picture:
    """A picture (H, W, 3) uint8 RGB for a page, scaled down to `width` pixels where it is wider."""
    image = Image.fromarray(pixels)
    if width is not None and width < image.width:
        size = (width, round(image.height * width / image.width))
        image = image.resize(size, Image.Resampling.LANCZOS)
    held = io.BytesIO()
    image.save(held, "JPEG", quality=88)
    data = base64.b64encode(held.getvalue()).decode("ascii")
    return Picture(url=f"data:image/jpeg;base64,{data}", width=image.width, height=image.height)
