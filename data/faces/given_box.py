"""A face that a person points at: a box on the picture, and when it is there.

Where several faces lie in the picture, or a poster is taken for a face, the largest lasting face
(`data.faces.tracker`) may be the wrong one. The given box names the right one;
`data.faces.follow_given` follows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from data.errors import ConfigError

LEAST_SIDE = 8.0
"""Shortest side of a box in pixels of the video; less of a face shows nothing."""
MOST_PIXELS = 1e5
"""No coordinate of a video is larger."""
_NUMBER = r"(\d{1,6}(?:\.\d{1,6})?)"
_FORM = re.compile(rf"{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}(?:@{_NUMBER})?")


@dataclass(frozen=True, kw_only=True)
class GivenBox:
    """Where the face is, in pixels of the video as shown."""

    x: float  # of the left edge
    y: float  # of the upper edge
    width: float
    height: float
    # when it is there, on the stream's own clock; None: when a face fits the box best
    seconds: float | None = None

    def __post_init__(self) -> None:
        values = (self.x, self.y, self.width, self.height, self.seconds or 0.0)
        if not all(0 <= one <= MOST_PIXELS for one in values):
            raise ConfigError(f"a box must be of numbers from 0 to {MOST_PIXELS:.0f}, got {self}")
        if min(self.width, self.height) < LEAST_SIDE:
            raise ConfigError(
                f"a box must be at least {LEAST_SIDE:g} pixels wide and high, got {self}"
            )

    def __str__(self) -> str:
        """As `parse` reads it."""
        text = ",".join(f"{one:.6g}" for one in (self.x, self.y, self.width, self.height))
        return text if self.seconds is None else f"{text}@{self.seconds:.6g}"

    @classmethod
    def parse(cls, text: str) -> GivenBox:
        """Reads `X,Y,W,H` or `X,Y,W,H@SECONDS`.

        Raises:
            ConfigError: it is something else.
        """
        found = _FORM.fullmatch(text.replace(" ", ""))
        if found is None:
            raise ConfigError(
                "a box must be X,Y,WIDTH,HEIGHT or X,Y,WIDTH,HEIGHT@SECONDS, got "
                f"{text[:60]!r}; for example 320,80,140,180@2.5"
            )
        x, y, width, height = (float(one) for one in found.groups()[:4])
        seconds = None if found[5] is None else float(found[5])
        return cls(x=x, y=y, width=width, height=height, seconds=seconds)
