"""Charts as plain data with their geometry; `templates/charts.jinja` draws them as inline SVG.

All positions are percentages of the plot, so that a chart fits a telephone and a desk with letters
of the same size. Colours are names of `templates/style.css`, which has them for light and dark.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

REAL, FAKE, UNSURE = "green", "vermilion", "grey"
"""Colours of Okabe and Ito (2008): distinguishable with every common kind of colour blindness."""
VERDICTS = {"REAL": REAL, "FAKE": FAKE, "UNSURE": UNSURE}
MOST_MARKS = 200
"""Points of one line that can be pointed at; the line itself goes through all."""
TICKS = 5
"""About how many an axis has."""
STEPS = (1, 2, 2.5, 5, 10)
"""Their distances, times a power of ten."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis from `low` to `high`, with the values and the format of its ticks."""

    label: str
    low: float
    high: float
    ticks: Sequence[float]
    form: str = "g"

    def at(self, value: float) -> float:
        """Percentage of the axis at which a value lies, at most a little outside."""
        share = 100 * (value - self.low) / (self.high - self.low)
        return round(min(max(share, -5.0), 105.0), 2)

    @property
    def labelled(self) -> list[tuple[float, str]]:
        """Place and text of each tick."""
        return [(self.at(tick), format(tick, self.form)) for tick in self.ticks]


def unit_axis(label: str, *, form: str = "g", room: float = 0.03) -> Axis:
    """From 0 to 1 with a little room, so that marks at both ends are seen whole."""
    ticks = (0, 0.2, 0.4, 0.6, 0.8, 1)
    return Axis(label=label, low=-room, high=1 + room, ticks=ticks, form=form)


def fitted_axis(label: str, values: Iterable[float], *, room: float = 0.0) -> Axis:
    """Just long enough for finite values and `room`, a share, at both ends; round ticks."""
    held = list(values) or [0.0, 1.0]
    low, high = min(held), max(held)
    if high - low < 1e-9:
        half = max(abs(low) * 0.05, 1e-3)
        low, high = low - half, high + half
    low, high = low - room * (high - low), high + room * (high - low)
    rough = (high - low) / TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(one * power for one in STEPS if one * power >= rough * 0.999)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    found = tuple(round(float(number * step), 10) + 0.0 for number in range(first, last + 1))
    return Axis(label=label, low=low, high=high, ticks=found)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One mark: `cells` are what it says, a row of its chart's table; an interval is a whisker."""

    x: float
    y: float = 0
    cells: Sequence[str] = ()
    low: float | None = None
    high: float | None = None
    colour: str = "blue"
    radius: float = 5


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of one kind."""

    name: str  # for the legend; "" for none
    colour: str  # of line and points; "" for a blue line with points of their own colours
    points: Sequence[Point]  # in the order of the line
    line: str = "solid"  # "solid", "dashed", "dotted", or "" for points alone
    width: float = 2.5  # of the line in pixels
    radius: float = 4  # of the points in pixels; 0 shows a point only to who points at it, -1 never

    @property
    def marks(self) -> Sequence[Point]:
        """Points that can be pointed at."""
        if self.radius < 0:
            return ()
        chosen = np.linspace(0, len(self.points) - 1, min(len(self.points), MOST_MARKS))
        return [self.points[int(one)] for one in chosen.round()]


@dataclass(frozen=True, kw_only=True)
class Level:
    """A straight line across the plot at one value of an axis."""

    value: float
    name: str
    colour: str = "grey"
    line: str = "dashed"
    vertical: bool = False


@dataclass(frozen=True, kw_only=True)
class Band:
    """A shaded stripe between two values of the vertical axis."""

    low: float
    high: float
    name: str
    colour: str = "grey"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar of a histogram, from 0 to `height`."""

    left: float
    right: float
    height: float
    cells: Sequence[str]
    colour: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A chart with two axes."""

    words: str  # what it shows, for those who cannot see it
    x: Axis
    y: Axis
    series: Sequence[Series] = ()
    levels: Sequence[Level] = ()
    bands: Sequence[Band] = ()
    bars: Sequence[Bar] = ()
    bar_names: Sequence[tuple[str, str]] = ()  # (name, colour) of the bars, for the legend
    height: int = 300  # in pixels
    # of a table of all marks' cells; whoever points at a mark sees its row
    head: Sequence[str] = ()

    def left(self, value: float) -> float:
        """Percentage from the left edge."""
        return self.x.at(value)

    def top(self, value: float) -> float:
        """Percentage from the upper edge."""
        return round(100 - self.y.at(value), 2)

    def path(self, series: Series) -> str:
        """A line through all points, in percent; neighbours at one place are one."""
        places = (f"{self.left(one.x):g},{self.top(one.y):g}" for one in series.points)
        return " ".join(place for place, _ in itertools.groupby(places))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a chart of rows: a bar from the axis' start, or dots with a whisker."""

    name: str  # at its left
    value: str  # at its right, in words
    bar: float | None = None  # where the bar ends
    dots: Sequence[Point] = ()
    low: float | None = None  # where the whisker starts
    high: float | None = None  # where it ends
    colour: str = "blue"  # of bar and whisker


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Lines with one horizontal axis in common; an axis without ticks is not drawn."""

    words: str  # what it shows, for those who cannot see it
    axis: Axis
    rows: Sequence[Row]
    band: tuple[float, float] | None = None  # low and high of a stripe behind all lines
    legend: Sequence[tuple[str, str]] = ()  # (name, colour) of the marks


def bars(words: str, rows: Sequence[Row]) -> Rows:
    """Rows with bars, the longest as wide as the chart."""
    end = max((row.bar or 0 for row in rows), default=0) or 1
    return Rows(words=words, axis=Axis(label="", low=0, high=end, ticks=()), rows=rows)


def interval_row(name: str, value: float, low: float, high: float) -> Row:
    """A dot with its interval."""
    words = f"{value:.3f} ({low:.3f} to {high:.3f})"
    return Row(
        name=name, value=words, dots=[Point(x=value, cells=(name, words))], low=low, high=high
    )


def shade(share: float) -> tuple[str, str]:
    """Background and text colour of a table's field, from 0 (pale) to 1 (blue).

    Opaque, so that the text can be read on light and dark pages alike.
    """
    pale, deep = np.asarray((0xEA, 0xF2, 0xF8)), np.asarray((0x00, 0x5A, 0x8E))
    red, green, blue = (pale + (deep - pale) * min(max(share, 0.0), 1.0)).round().astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}", "#1c1f23" if share < 0.72 else "#ffffff"
