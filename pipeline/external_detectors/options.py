"""How files of scores are to be read and counted: what the options of `evaluate --scores` say."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from data.errors import ConfigError
from pipeline.json_facts import ReportFacts
from pipeline.score_files.csv_files import parse_columns
from pipeline.score_files.records import Aggregation, Higher, Match, Missing

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
TAKEN = frozenset(
    (
        *("path", "label", "group", "method", "novel"),
        *ReportFacts.__annotations__,
        *("lstm", "mean", "statistics"),
    )
)
"""Names of columns of predictions.csv, of keys of metrics.json, and of unmask's own heads."""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """All of them."""

    higher: Higher = "fake"  # which class has the higher scores
    missing: Missing = "excluded"  # how videos without a score are counted
    threshold: float | None = None  # on the scale of the files; None chooses one
    aggregate: Aggregation = "mean"  # how scores of frames become one
    match: Match | None = None  # by what rows and videos are matched; None by the file's format
    columns: Mapping[str, str] = field(default_factory=dict)  # as `parse_columns` gives them
    name: str = ""  # of the detector; "" for the first file's
    trained_on: Path | None = None  # list of its training videos

    @classmethod
    def of(cls, *, columns: str | None = None, **options: Any) -> ScoreOptions:
        """Checks options as they were given.

        Raises:
            ConfigError: one is not among its choices.
        """
        choices = {"higher": Higher, "missing": Missing, "aggregate": Aggregation, "match": Match}
        flags = {"higher": "--higher-is"}
        for key, kind in choices.items():
            value, known = options.get(key), get_args(kind)
            if value is not None and value not in known:
                flag = flags.get(key, f"--{key}")
                raise ConfigError(f"{flag} must be {' or '.join(known)}, got {value!r}")
        threshold = options.get("threshold")
        if threshold is not None and not math.isfinite(threshold):
            raise ConfigError(f"--threshold must be a finite number, got {threshold}")
        name = options.get("name") or ""
        if name and (not NAME.fullmatch(name) or name in TAKEN):
            raise ConfigError(
                f"--name must be of small letters, digits, '.', '-' and '_', and no name that "
                f"reports use themselves, got {name!r}"
            )
        return cls(columns=parse_columns(columns) if columns else {}, **options)

    def name_of(self, first: Path) -> str:
        """The detector's name, by default that of its first file."""
        if self.name:
            return self.name
        stem = first.name.partition(".")[0].casefold()
        found = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")[:60]
        return found if NAME.fullmatch(found) and found not in TAKEN else f"detector-{found}"[:60]

    def words(self, name: str) -> list[str | Path]:
        """The same as words of a command."""
        words: list[str | Path] = ["--name", name, "--higher-is", self.higher]
        words += ["--missing", self.missing, "--aggregate", self.aggregate]
        if self.threshold is not None:
            words.append(f"--threshold={self.threshold!r}")
        if self.match is not None:
            words += ["--match", self.match]
        if self.columns:
            named = ",".join(f"{what}={column}" for what, column in self.columns.items())
            words += ["--columns", named]
        if self.trained_on is not None:
            words += ["--trained-on", self.trained_on]
        return words
