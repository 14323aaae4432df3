"""The settings of heads, training and fine-tuning: plain values, checked when they are made.

Apart from the code that obeys them, so that reading parameters never loads TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from data.errors import ConfigError

CLASSES = ("real", "fake")
"""Name of label 0 and of label 1."""

HEADS = ("lstm", "bilstm", "gru", "attention", "mean", "logistic")
"""Kinds of heads; `models.heads.architectures.KINDS` builds each."""

BLOCKS = 16
"""Residual blocks of a ResNet50."""


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """The shape of a head.

    Attributes:
        kind: one of HEADS; "lstm", "bilstm" and "gru" see the order of frames, "attention" weighs
            them, "logistic" judges each by itself, "mean" is the baseline on their mean.
        units: size of the state, or of the attention's hidden layer; mean and logistic have none.
        dropout: share of the state that is dropped before the classifier.
        input_dropout: share of the embedding's dimensions dropped for a whole clip. The default
            is for some hundred training videos; thousands may want less.
        input_scale: of the standardised embeddings before a layer with units. At 1 a thousand
            dimensions saturate an LSTM's gates from the first step and it learns the training
            people by heart.
    """

    kind: str = "lstm"
    units: int = 128
    dropout: float = 0.6
    input_dropout: float = 0.8
    input_scale: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in HEADS:
            raise ConfigError(f"head.kind must be one of {', '.join(HEADS)}, got {self.kind!r}")
        if not 1 <= self.units <= 8192:
            raise ConfigError(f"head.units must be 1 to 8192, got {self.units}")
        if not 0 < self.input_scale <= 100:
            raise ConfigError(
                f"head.input_scale must be above 0, at most 100, got {self.input_scale}"
            )
        for name in ("dropout", "input_dropout"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise ConfigError(f"head.{name} must be at least 0 and below 1, got {share}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a head is trained.

    Attributes:
        epochs: at most this many.
        batch_size: videos per step.
        learning_rate: of Adam.
        weight_decay: decoupled (AdamW, Loshchilov and Hutter, 2019); 0 is plain Adam.
        patience: epochs without a higher validation AUC before training stops.
        class_weight: weight of each class in the loss, {"real": …, "fake": …}; "balanced" weighs
            by frequency; None weighs all videos alike.
    """

    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    patience: int = 10
    class_weight: dict[str, float] | str | None = field(
        default_factory=lambda: {"real": 1.15, "fake": 1.05}
    )

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"train.{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(
                f"train.learning_rate must be above 0 and below 1, got {self.learning_rate}"
            )
        if not 0 <= self.weight_decay < 1:
            raise ConfigError(
                f"train.weight_decay must be at least 0 and below 1, got {self.weight_decay}"
            )
        check_class_weight("train.class_weight", self.class_weight)


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """How the backbone is fine-tuned.

    Attributes:
        unfreeze: how many of the 16 residual blocks learn, counted from the last; or "all", which
            includes the first convolution.
        epochs: at most this many after the frozen phase; each shows every clip of the larger
            class once, and as many of the other.
        frames_per_video: crops kept for each video; validation looks at all of them.
        frames_per_clip: crops of a clip in one step.
        pairs_per_batch: pairs of a real and a fake clip in one step.
        learning_rate: Adam's, for the backbone.
        head_learning_rate: Adam's, for the dense layer.
        schedule: "cosine": both rates rise over the first half epoch, while Adam knows little of
            the gradients' size, then fall to zero along a cosine (Loshchilov and Hutter, 2017);
            "constant".
        patience: epochs without a higher validation AUC before training stops.
        class_weight: as in `TrainConfig`; batches are balanced already, so "balanced" is None.
        flip: mirror half of the clips.
        rotate_degrees: turn a clip by up to this much either way.
        zoom: enlarge or shrink a clip by up to this share.
        brightness: of a pair of clips, changed by up to this share either way.
        contrast: likewise.
        saturation: likewise.
        blur_pixels: largest standard deviation; half of the pairs are blurred.
        noise: largest standard deviation in grey levels; half of the pairs get noise.
        jpeg_quality: lowest quality of a JPEG round trip, which half of the pairs take; 0 is off.
        forge: share of a batch's fakes that become new forgeries of their real partners
            (docs/forge.md). With real videos alone every fake is one, if this is above 0.
        mixed_precision: on a GPU, compute in float16 what bears it, and scale the loss so that no
            gradient vanishes.
        dropout: share of the embedding that is dropped before the dense layer while the backbone
            learns, the same for all frames of a clip.
        label_smoothing: how far the labels 0 and 1 move together; half of it each.
    """

    unfreeze: int | str = 9
    epochs: int = 10
    frames_per_video: int = 8
    frames_per_clip: int = 4
    pairs_per_batch: int = 4
    learning_rate: float = 4e-5
    head_learning_rate: float = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    patience: int = 10
    class_weight: dict[str, float] | str | None = field(
        default_factory=lambda: {"real": 1.15, "fake": 1.05}
    )
    flip: bool = True
    rotate_degrees: float = 8.0
    zoom: float = 0.08
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1
    blur_pixels: float = 0.8
    noise: float = 3.0
    jpeg_quality: int = 60
    forge: float = 0.5
    label_smoothing: float = 0.0
    dropout: float = 0.0
    mixed_precision: bool = False

    def __post_init__(self) -> None:
        if self.unfreeze != "all" and not (
            isinstance(self.unfreeze, int) and 1 <= self.unfreeze <= BLOCKS
        ):
            raise ConfigError(
                f"finetune.unfreeze must be 1 to {BLOCKS} or all, got {self.unfreeze!r}"
            )
        for name in (
            "epochs", "frames_per_video", "frames_per_clip", "pairs_per_batch", "patience",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ConfigError(f"finetune.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "head_learning_rate"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(
                    f"finetune.{name} must be above 0 and below 1, got {getattr(self, name)}"
                )
        if self.schedule not in ("cosine", "constant"):
            raise ConfigError(
                f"finetune.schedule must be cosine or constant, got {self.schedule!r}"
            )
        if not 0 <= self.rotate_degrees <= 180:
            raise ConfigError(
                f"finetune.rotate_degrees must be 0 to 180, got {self.rotate_degrees}"
            )
        for name in (
            "zoom", "brightness", "contrast", "saturation", "label_smoothing", "dropout",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"finetune.{name} must be at least 0 and below 1, got {getattr(self, name)}"
                )
        for name, most in (("blur_pixels", 20), ("noise", 100), ("jpeg_quality", 95), ("forge", 1)):
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"finetune.{name} must be 0 to {most}, got {getattr(self, name)}")
        check_class_weight("finetune.class_weight", self.class_weight)


def check_class_weight(name: str, weight: dict[str, float] | str | None) -> None:
    """Refuses class weights that are not {"real": …, "fake": …}, "balanced" or None."""
    if weight is None or weight == "balanced":
        return
    if not isinstance(weight, dict) or set(weight) != set(CLASSES):
        raise ConfigError(f"{name} must be {{real: …, fake: …}}, balanced or null, got {weight!r}")
    if not all(isinstance(value, int | float) and value > 0 for value in weight.values()):
        raise ConfigError(f"{name} must be above 0 for both classes, got {weight!r}")


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """How scores become probabilities and verdicts; fitted on validation.

    Attributes:
        method: "temperature", "isotonic" (from some hundred validation videos on) or "none".
        threshold: "platt" where Platt's sigmoid gives even odds, steady on tens of validation
            videos; "balanced" for the best balanced accuracy, "fpr" for `target_fpr`, "cost" for
            the least cost.
        target_fpr: share of real validation videos that may be called fake.
        false_alarm_cost: of a real video called fake.
        miss_cost: of a fake called real.
        unsure: share of validation videos, those nearest the threshold, that get no verdict.
    """

    method: str = "temperature"
    threshold: str = "platt"
    target_fpr: float = 0.05
    false_alarm_cost: float = 1.0
    miss_cost: float = 1.0
    unsure: float = 0.1

    def __post_init__(self) -> None:
        for name, known in (
            ("method", ("temperature", "isotonic", "none")),
            ("threshold", ("platt", "balanced", "fpr", "cost")),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"calibration.{name} must be {', '.join(known)}, got {getattr(self, name)!r}"
                )
        if not 0 <= self.target_fpr < 1:
            raise ConfigError(f"calibration.target_fpr must be 0 to below 1, got {self.target_fpr}")
        if not 0 <= self.unsure < 1:
            raise ConfigError(f"calibration.unsure must be 0 to below 1, got {self.unsure}")
        for name in ("false_alarm_cost", "miss_cost"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"calibration.{name} must be above 0, got {getattr(self, name)}")
