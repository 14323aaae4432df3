"""Which of two versions is forged: the likelihood ratio of the detail that one of them lacks.

The loss itself (`data.alignment.blending`) is measured, not learnt; what is fitted is how much a
loss of a given size tells. One such model comes with unmask, `built_in`; `unmask fit-pairs` writes
another into a bundle, fitted to a user's own pairs. There is no constant, so that swapping two
versions turns the sign of the log10 likelihood ratio and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from data.errors import StoreError
from data.io.atomic_files import as_json, write_text
from data.io.atomic_folders import read_versioned_json
from data.io.reading import BAD_FACTS
from models.evaluation.likelihood_ratio import LikelihoodRatio

FILE = "pairs.json"
FORMAT = "unmask-pairs"
VERSION = 2
"""Version 1 was of learnt weights of other measurements; it is not read any more."""
BUILT_IN = Path(__file__).with_name("built_in.json")
SELF_MADE = "forged-"
"""What the methods of `unmask forge` begin with."""
UNIT = 0.02
"""A loss that is one unit of the log-odds before calibration, so that the penalty on the slope,
which is of unit size, weighs next to nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PairModel:
    """The likelihood ratio of a loss of detail."""

    # of the loss in UNIT as log-odds, "A is forged" against "B is forged"; without constant
    ratio: LikelihoodRatio
    pairs: int  # that it was fitted to
    right: float  # share of these that the loss ordered rightly
    methods: tuple[str, ...]  # forgery methods of the pairs
    sha256s: tuple[str, ...]  # of the videos of the pairs
    built_in: bool = False

    def log10_lr(self, lost: float) -> tuple[float, float, float]:
        """log10 of the likelihood ratio that is told, and both ends of its interval.

        Args:
            lost: `Blending.lost`, above 0 where the first version lacks detail.
        """
        value, low, high = self.ratio.of_score(probability(abs(lost)))
        return (value, low, high) if lost >= 0 else (0.0 - value, 0.0 - high, 0.0 - low)

    @property
    def origin(self) -> str:
        """What the ratio was measured on, a sentence."""
        made = [one for one in self.methods if one.startswith(SELF_MADE)]
        others = [one for one in self.methods if one not in made]
        kinds = [f"fakes by {', '.join(others)}"] if others else []
        kinds += ["forgeries that unmask made itself"] if made else []
        what = "The built-in ratio" if self.built_in else "The ratio"
        return (
            "A forged face lacks fine detail where it was blended in, but so does a real face that "
            f"was smoothed. {what} was measured on {self.pairs} pairs of {self.ratio.groups} "
            f"groups of people, {' and '.join(kinds)}, as they are and encoded anew; the forged "
            f"side lacked the detail in {self.right:.0%} of them."
        )

    def save(self, path: Path) -> Path:
        """Writes it to a file; returns its path.

        Raises:
            OutputError: it cannot be written.
        """
        facts = {
            "format": FORMAT,
            "version": VERSION,
            "ratio": self.ratio.to_json(),
            "pairs": self.pairs,
            "right": self.right,
            "methods": list(self.methods),
            "sha256s": list(self.sha256s),
        }
        write_text(path, as_json(facts))
        return path

    @classmethod
    def load(cls, folder: Path) -> PairModel | None:
        """Reads a bundle's; None where it has none.

        Raises:
            StoreError: it is damaged, or of an earlier or later unmask.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        facts = read_versioned_json(path, FORMAT, VERSION)
        if facts["version"] < VERSION:
            raise StoreError(
                f"{path} was fitted by an earlier unmask, which measured something else; "
                "delete it or run fit-pairs again"
            )
        try:
            return cls._of(facts, built_in=False)
        except BAD_FACTS as error:
            raise StoreError(f"{path} is damaged ({error}); run fit-pairs again") from error

    @classmethod
    def _of(cls, facts: Mapping[str, Any], *, built_in: bool) -> PairModel:
        return cls(
            ratio=LikelihoodRatio.from_json(facts["ratio"]),
            pairs=int(facts["pairs"]),
            right=float(facts["right"]),
            methods=tuple(str(one) for one in facts["methods"]),
            sha256s=tuple(str(one) for one in facts["sha256s"]),
            built_in=built_in,
        ).checked()

    def checked(self) -> PairModel:
        """Itself; ValueError for a ratio that swapping the versions would not mirror."""
        known = self.ratio
        mirrored = known.intercept == 0 and known.lower == -known.upper
        if not mirrored or any(one[1] != 0 or one[2] != -one[3] for one in known.draws):
            raise ValueError("its ratio is not the same for A and B")
        return self


@cache
def built_in() -> PairModel:
    """The model that comes with unmask; `benchmarks/pair.py --write` made it."""
    return PairModel._of(read_versioned_json(BUILT_IN, FORMAT, VERSION), built_in=True)


def probability(lost: float) -> float:
    """A loss as P("the first is forged") before calibration, as `LikelihoodRatio` reads it."""
    from scipy.special import expit

    return float(expit(lost / UNIT))
