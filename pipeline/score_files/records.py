"""What is read from files of scores, and what a report says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

Missing = Literal["excluded", "real", "fake", "chance"]
"""How videos without a score are counted."""
Aggregation = Literal["mean", "median", "max"]
"""How the scores of a video's frames or clips become one."""
Higher = Literal["fake", "real"]
"""Which class has the higher scores."""
Match = Literal["path", "name"]
"""By what a file's rows are matched with videos: the whole path, or the file name alone."""


class ScoreRow(NamedTuple):
    """One row of a file, as it was written."""

    place: int  # line of a CSV, entry of a JSON, from 1
    video: str  # path, name or key
    frame: str  # which frame or clip; "" where the row is of a whole video
    score: float  # NaN where there is none
    label: int | None = None  # 1 = fake; None where the file does not say
    method: str = ""  # how a fake was made
    compression: str = ""  # "c23" ...


@dataclass(frozen=True, kw_only=True)
class ScoreFile:
    """One file; `rows` may be read once."""

    kind: str  # in words
    unit: str  # what a place is: "line", "entry"
    rows: Iterator[ScoreRow]
    match: Match = "path"  # by what its rows are matched where nothing else is asked for
    facts: Mapping[str, str] = field(default_factory=dict)  # of the detector, for the model card


class CoverageFacts(TypedDict):
    """How many videos have a score, in metrics.json."""

    coverage: float  # scored videos by all videos of the split, 0 to 1
    scored: int  # number of videos that have a score
    expected: int  # number of videos of the split


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many videos have a score."""

    scored: int
    videos: int  # of the split

    @property
    def share(self) -> float:
        """Scored videos by all videos."""
        return self.scored / self.videos if self.videos else 0.0

    def __str__(self) -> str:
        return f"{self.scored} of {self.videos} videos ({self.share:.1%})"

    def to_json(self) -> CoverageFacts:
        """Flat numbers."""
        return {"coverage": self.share, "scored": self.scored, "expected": self.videos}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Coverage | None:
        """Reads them back; None where they are not there, as in a report of an earlier version."""
        scored, videos = facts.get("scored"), facts.get("expected")
        if not isinstance(scored, int) or not isinstance(videos, int) or videos < scored:
            return None
        return cls(scored=scored, videos=videos)


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """Scores of a manifest's videos; higher is fake."""

    scores: NDArray[np.float64]  # (N,) NaN where there is none
    # of each video that has scores of frames or clips: (T,), in the order of their numbers
    frames: Mapping[int, NDArray[np.float64]]
    unit: bool  # whether all lie between 0 and 1
    orientation: str  # what was done so that higher is fake, in words; "" for nothing
    kinds: Sequence[str]  # of the files, in words
    facts: Mapping[str, str]  # of the detector, as the files tell them
    rows: int  # number of rows in all
    unmatched: int  # number of rows that name no video of the manifest
    unmatched_example: str  # one of these; "" where there is none


@dataclass(frozen=True, kw_only=True)
class ExternalScores:
    """What a report says of a detector that is known by its scores alone."""

    detector: str  # its name
    files: Sequence[str]  # names of the files
    kinds: Sequence[str]  # what they are, in words
    higher: Higher  # which class has the higher scores in them
    orientation: str  # what was done so that higher is fake, in words; "" for nothing
    aggregation: str  # how scores of frames became one, in words; "" where videos have one each
    scored: int  # number of videos of the split that have a score
    expected: int  # number of videos of the split
    missing: Missing  # how videos without a score are counted
    missing_words: str  # the policy in words, where a video has no score; else ""
    threshold_rule: str  # in words
    optimistic: bool  # whether the threshold was chosen on the measured videos
    # what P(fake) and likelihood ratios were fitted on, or why there are none, in words
    probabilities: str
    trained_on: str  # what is known of its training, in words
    warnings: Sequence[str] = ()  # what a reader must know, in words

    @property
    def coverage(self) -> Coverage:
        """How many videos have a score."""
        return Coverage(scored=self.scored, videos=self.expected)
