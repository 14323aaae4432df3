"""What a bundle may say of one image: which part of it judges, and how that is calibrated.

A head that reads time (an LSTM, differences of frames) has nothing to read in one image, and what
it makes of one is an accident. So another part judges: the head itself where it needs no time, else
the linear model that it corrects, else the bundle's mean-pool baseline. Of a linear model that also
knows how much frames vary, the mean alone counts; the rest takes the average of training.

Threshold, P(fake) and novelty of sequences do not hold for one frame, whose scores and embeddings
scatter more. They are fitted anew to middle frames: the first two of validation videos, novelty as
that of videos is. Likelihood ratios would take scores of people and methods held out; there are
none for images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar, get_args

from models.configs import RECURRENT
from models.evaluation.calibration import Calibration
from models.heads.inference import HeadNetwork
from models.heads.trained import Trained

Judge = Literal["head", "linear part", "baseline"]

NOT_CALIBRATED = "this detector has no calibration for one image"
"""Why the verdict on an image is UNSURE, of a bundle of an earlier version for example."""
NO_JUDGE = (
    "it is one image, and this detector judges by what changes over time; give it the video that "
    "the image was taken from"
)

NO_VERDICT = (0.0, 1.0000000000000002)
"""A band that holds every score: at or above the first, below the second."""

Head = TypeVar("Head", bound=Trained)


@dataclass(frozen=True, kw_only=True)
class OneImage:
    """How single images are judged."""

    judge: Judge  # which part of the bundle
    threshold: float  # at or above it an image is called fake, on the calibrated scale
    calibration: Calibration  # of the judge's scores of single frames
    novelty_threshold: float | None  # of `Novelty`, of single frames; None where there is none
    videos: int  # number of validation videos, of whose frames these are

    def to_json(self) -> dict[str, Any]:
        """Plain values, for bundle.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> OneImage:
        """Reads a bundle.json's.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        if facts["judge"] not in get_args(Judge):
            raise ValueError(f"the judge of images {facts['judge']!r} is not known")
        novelty = facts["novelty_threshold"]
        if novelty is not None and not float(novelty) > 0:
            raise ValueError("the novelty threshold of images is not positive")
        return cls(
            judge=facts["judge"],
            threshold=float(facts["threshold"]),
            calibration=Calibration.from_json(facts["calibration"]),
            novelty_threshold=None if novelty is None else float(novelty),
            videos=int(facts["videos"]),
        )


def image_judge(
    head: Head, baseline: Head | None, *, judge: Judge | None = None
) -> tuple[Judge, Head] | None:
    """The part of a bundle that judges one image, as a head.

    Args:
        head: of the bundle.
        baseline: of the bundle.
        judge: the one that was calibrated; None finds the first that can.

    Returns:
        Its name and the head; None where there is none.
    """
    for name, found in (
        ("head", None if reads_time(head) else head),
        ("linear part", _linear_part(head)),
        ("baseline", baseline),
    ):
        if found is not None and judge in (None, name):
            return name, found  # type: ignore[return-value]
    return None


def reads_time(head: Trained) -> bool:
    """Whether a head's score of one frame rests on what only several frames have."""
    config = head.config
    if config.is_residual:
        return not HeadNetwork.of(head.model).is_linear_alone or "mean" not in config.statistics
    if config.kind == "statistics":
        return "mean" not in config.statistics
    return config.kind in RECURRENT  # attention weighs frames, whatever their order


def _linear_part(head: Head) -> Head | None:
    """The linear model that a residual corrects, as a head; None where it reads no mean."""
    network = HeadNetwork.of(head.model)
    if not network.base or "mean" not in head.config.statistics:
        return None
    last = replace(network.base[-1], setting="sigmoid")
    layers = (*network.layers[: network.shared], *network.base[:-1], last)
    return replace(head, model=HeadNetwork(layers=layers))
