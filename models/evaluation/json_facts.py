"""The types of what metrics.json says of one model: its keys, with what each means.

`pipeline.cli.help.json_schemas` makes the published JSON Schemas of these types and of the comments
beside the keys. A metric stands flat, as DVC shows it: `auc`, `auc_low`, `auc_high`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, NotRequired, TypeVar

from typing_extensions import TypedDict

from models.evaluation.metrics import AT_THRESHOLD, LR_METRICS, METRICS, OF_PROBABILITIES

Facts = TypeVar("Facts", bound=type)
NOTHING: Mapping[str, str] = {}


class Flat(NamedTuple):
    """Numbers with intervals that stand in a type beside its fields."""

    always: Mapping[str, str]  # name -> meaning
    sometimes: Mapping[str, str]  # likewise, of those that may be left out


_ALL = METRICS | LR_METRICS
_MAY_LACK = (*AT_THRESHOLD, *OF_PROBABILITIES, "cllr")
"""Of models that have no threshold, no P(fake)."""
FLAT: dict[type, Flat] = {}
"""Type -> the numbers that `flat` gave it."""


def flat(
    always: Mapping[str, str] = NOTHING, sometimes: Mapping[str, str] = NOTHING
) -> Callable[[Facts], Facts]:
    """A class decorator: each of these names stands in the type thrice, as `Estimate.to_json` has
    it: the value, and with `_low` and `_high` the ends of its interval.

    Args:
        always: name -> meaning.
        sometimes: of those that are left out where the videos do not allow them.
    """

    def decorate(facts: Facts) -> Facts:
        FLAT[facts] = Flat(always, sometimes)
        return facts

    return decorate


@flat(
    sometimes={
        "auc": "of these fakes against these reals; left out where one class is missing",
        "recall_fake": "share of these fakes that are called fake; left out where there is none",
        "recall_real": "share of these reals that are called real; left out where there is none",
    }
)
class SliceFacts(TypedDict):
    """A model's metrics on a part of the videos."""

    reals: int  # number of real videos
    fakes: int  # number of fake videos


@flat(
    always={name: words for name, words in _ALL.items() if name not in _MAY_LACK},
    sometimes={name: words for name, words in _ALL.items() if name in _MAY_LACK}
    | {f"frame_{name}": f"of single frames, scored alone: {one}" for name, one in METRICS.items()},
)
class EvaluationFacts(TypedDict):
    """A model's metrics on one set of videos, each with the ends of its bootstrap interval."""

    # at or above it a video is called fake; left out, like what is measured at it, where the model
    # has none
    threshold: NotRequired[float]
    # at or above it a single frame is called fake; left out where there is none
    frame_threshold: NotRequired[float]
    real_as_real: NotRequired[int]  # number of real videos that are called real
    real_as_fake: NotRequired[int]  # number of real videos that are called fake
    fake_as_real: NotRequired[int]  # number of fakes that are called real
    fake_as_fake: NotRequired[int]  # number of fakes that are called fake
    confidence: float  # level of the intervals, as 0.95
    videos: int  # number of measured videos
    groups: int  # number of their groups; videos of a group share a person or a source
    recall_by_method: dict[str, float]  # forgery method -> share of its fakes called fake
    # "method", and "data set" or "compression" where there are several -> name -> its metrics; of a
    # method, its fakes against all reals
    by: dict[str, dict[str, SliceFacts]]


class DecidedFacts(TypedDict):
    """How right the verdicts are where UNSURE is none."""

    unsure: float  # share of the videos that get no verdict
    novel: float  # share that is unlike anything in training; part of `unsure`
    # share of the others that are classified rightly; left out where there is none
    decided_accuracy: NotRequired[float]
    # mean of the shares of both classes; left out where one is without verdict
    decided_balanced_accuracy: NotRequired[float]
