"""Settings of heads, training, fine-tuning and calibration.

Apart from the code that uses them, so that reading parameters does not load TensorFlow.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from data.io.settings import Settings

CLASSES = ("real", "fake")
"""Name of label 0 and of label 1."""

HeadKind = Literal["lstm", "bilstm", "gru", "attention", "mean", "logistic"]
HEADS: tuple[HeadKind, ...] = get_args(HeadKind)
"""Kinds of heads; `models.heads.architectures.KINDS` builds each."""

BLOCKS = 16
"""Residual blocks of a ResNet50."""

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
LearningRate = Annotated[float, Field(gt=0, lt=1)]
Cost = Annotated[float, Field(gt=0)]


def _known_weights(weight: Any) -> Any:
    if weight == "none":
        return None
    if isinstance(weight, dict) and set(weight) == set(CLASSES):
        return weight
    if weight not in (None, "balanced"):
        raise ValueError("must be {real: …, fake: …}, balanced or none")
    return weight


def _known_blocks(unfreeze: int | str) -> int | str:
    if isinstance(unfreeze, int) and not 1 <= unfreeze <= BLOCKS:
        raise ValueError(f"must be from 1 to {BLOCKS} or all")
    return unfreeze


ClassWeight = Annotated[
    dict[str, Annotated[float, Field(gt=0)]] | Literal["balanced"] | None,
    BeforeValidator(_known_weights),
]
"""Weight of each class in the loss; "balanced" weighs by frequency, None weighs all alike."""


def _class_weight() -> dict[str, float]:
    """The default of training and fine-tuning."""
    return {"real": 1.15, "fake": 1.05}


class HeadConfig(Settings):
    """The shape of a head.

    Attributes:
        kind: "lstm", "bilstm" and "gru" see the order of frames, "attention" weighs them,
            "logistic" judges each by itself, "mean" is the baseline on their mean.
        units: size of the state, or of the attention's hidden layer; mean and logistic have none.
        dropout: share of the state that is dropped before the classifier.
        input_dropout: share of the embedding's dimensions dropped for a whole clip. The default
            is for some hundred training videos; thousands may want less.
        input_scale: of the standardised embeddings before a layer with units. At 1 a thousand
            dimensions saturate an LSTM's gates from the first step, and it memorises the training
            people.
    """

    section: ClassVar[str] = "head"

    kind: HeadKind = "lstm"
    units: Annotated[int, Field(ge=1, le=8192)] = 128
    dropout: Share = 0.6
    input_dropout: Share = 0.8
    input_scale: Annotated[float, Field(gt=0, le=100)] = 0.1


class TrainConfig(Settings):
    """How a head is trained.

    Attributes:
        epochs: at most this many.
        batch_size: videos per step.
        learning_rate: of Adam.
        weight_decay: decoupled (AdamW, Loshchilov and Hutter, 2019); 0 is plain Adam.
        patience: epochs without a higher validation AUC before training stops.
        class_weight: see `ClassWeight`.
    """

    section: ClassVar[str] = "train"

    epochs: Count = 100
    batch_size: Count = 32
    learning_rate: LearningRate = 1e-3
    weight_decay: Share = 0.0
    patience: Count = 10
    class_weight: ClassWeight = Field(default_factory=_class_weight)


class FinetuneConfig(Settings):
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
        schedule: "cosine": both rates rise over the first half epoch, while Adam's moments are
            poor estimates, then fall to zero along a cosine (Loshchilov and Hutter, 2017);
            "constant".
        patience: epochs without a higher validation AUC before training stops.
        class_weight: see `ClassWeight`; batches are balanced already, so "balanced" is None.
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
        mixed_precision: on a GPU, compute in float16 where it is accurate enough, with loss
            scaling.
        dropout: share of the embedding that is dropped before the dense layer while the backbone
            learns, the same for all frames of a clip.
        label_smoothing: the labels become smoothing / 2 and 1 - smoothing / 2.
    """

    section: ClassVar[str] = "finetune"

    unfreeze: Annotated[int | Literal["all"], AfterValidator(_known_blocks)] = 9
    epochs: Count = 10
    frames_per_video: Count = 8
    frames_per_clip: Count = 4
    pairs_per_batch: Count = 4
    learning_rate: LearningRate = 4e-5
    head_learning_rate: LearningRate = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    patience: Count = 10
    class_weight: ClassWeight = Field(default_factory=_class_weight)
    flip: bool = True
    rotate_degrees: Annotated[float, Field(ge=0, le=180)] = 8.0
    zoom: Share = 0.08
    brightness: Share = 0.1
    contrast: Share = 0.1
    saturation: Share = 0.1
    blur_pixels: Annotated[float, Field(ge=0, le=20)] = 0.8
    noise: Annotated[float, Field(ge=0, le=100)] = 3.0
    jpeg_quality: Annotated[int, Field(ge=0, le=95)] = 60
    forge: Annotated[float, Field(ge=0, le=1)] = 0.5
    label_smoothing: Share = 0.0
    dropout: Share = 0.0
    mixed_precision: bool = False


class CalibrationConfig(Settings):
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

    section: ClassVar[str] = "calibration"

    method: Literal["temperature", "isotonic", "none"] = "temperature"
    threshold: Literal["platt", "balanced", "fpr", "cost"] = "platt"
    target_fpr: Share = 0.05
    false_alarm_cost: Cost = 1.0
    miss_cost: Cost = 1.0
    unsure: Share = 0.1
