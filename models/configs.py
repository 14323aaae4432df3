"""Settings of backbones, extraction, heads, training, fine-tuning, calibration and evaluation.

Apart from the code that uses them, so that reading parameters does not load TensorFlow.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from data.io.settings import Settings

CLASSES = ("real", "fake")
"""Name of label 0 and of label 1."""

HeadKind = Literal["lstm", "bilstm", "gru", "attention", "mean", "logistic", "statistics"]
HEADS: tuple[HeadKind, ...] = get_args(HeadKind)
"""Kinds of heads; `models.heads.architectures.KINDS` builds each."""

STATEFUL: tuple[HeadKind, ...] = ("lstm", "bilstm", "gru", "attention")
"""Kinds with hidden units, which can correct a linear model."""

RECURRENT: tuple[HeadKind, ...] = ("lstm", "bilstm", "gru")
"""Kinds of which several can be averaged: `models.layers.average`."""

LSTMS: tuple[HeadKind, ...] = ("lstm", "bilstm")
"""Kinds whose products `train.precision` is about."""

FrameNorm = Literal["none", "layernorm_l2"]
Statistic = Literal["mean", "deviation", "steps"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
"""Of a clip; `models.linear.statistics` computes each."""

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


def _known_folds(folds: int) -> int:
    if folds == 1:
        raise ValueError("must be 0 or at least 2")
    return folds


def _known_statistics(statistics: Any) -> Any:
    """From YAML and JSON they come as a list."""
    named = tuple(statistics) if isinstance(statistics, list | tuple) else ()
    if not named or set(named) - set(STATISTICS) or len({*named}) < len(named):
        raise ValueError(f"must be a list of some of {', '.join(STATISTICS)}")
    return named


def _known_strides(strides: Any) -> Any:
    """Likewise."""
    found = tuple(strides) if isinstance(strides, list | tuple) else (None,)
    if not all(type(one) is int and 1 <= one <= 1024 for one in found) or len({*found}) < len(
        found
    ):
        raise ValueError("must be a list of different whole numbers from 1 to 1024, as in [1, 2]")
    return found


Statistics = Annotated[tuple[Statistic, ...], BeforeValidator(_known_statistics)]
Strides = Annotated[tuple[int, ...], BeforeValidator(_known_strides)]

ClassWeight = Annotated[
    dict[str, Annotated[float, Field(gt=0)]] | Literal["balanced"] | None,
    BeforeValidator(_known_weights),
]
"""Weight of each class in the loss; "balanced" weighs by frequency, None weighs all alike."""


def _class_weight() -> dict[str, float]:
    """The default of training and fine-tuning."""
    return {"real": 1.15, "fake": 1.05}


class BackboneConfig(Settings):
    """Which backbone to start from."""

    section: ClassVar[str] = "backbone"

    name: str = "resnet50-thin"  # resnet50-imagenet, resnet50-thin, resnet50-random, or a path


class ExtractConfig(Settings):
    """How features are extracted; only dtype and precision change them."""

    section: ClassVar[str] = "extract"

    dtype: Literal["float16", "float32"] = "float16"  # of the stored features
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 32  # frames of one call of the backbone
    # of the backbone; TensorFlow and OpenVINO differ by rounding alone
    runtime: Literal["auto", "tensorflow", "openvino"] = "auto"
    # of the backbone's arithmetic; "auto" is int8 for a quantized backbone, else bfloat16 where the
    # processor has AMX or AVX512-BF16, else float32. float16 is TensorFlow's on a GPU
    precision: Literal["auto", "float32", "bfloat16", "int8", "float16"] = "auto"
    # share of videos that may fail before the command does
    max_failures: Annotated[float, Field(ge=0, le=1)] = 0.1


class ConditionConfig(Settings):
    """How a head conditions embeddings: one linear map to fewer dimensions, fitted on training."""

    section: ClassVar[str] = "head.condition"

    # "none" only standardises each dimension; "pca" also projects on the main directions of the
    # training frames, "pca_whiten" gives each of them the same variance; "layernorm_l2" makes each
    # frame's own mean 0 and length 1, then projects. See `models.conditioning.linear_map`
    kind: Literal["none", "pca", "pca_whiten", "layernorm_l2"] = "none"
    dimensions: Annotated[int, Field(ge=1, le=8192)] = 128  # directions kept, at most


class HeadConfig(Settings):
    """The shape of a head."""

    section: ClassVar[str] = "head"

    # "lstm", "bilstm" and "gru" see the order of frames, "attention" weighs them, "logistic" judges
    # each by itself, "mean" is the baseline on their mean, "statistics" a linear model of the
    # clip's `statistics`
    kind: HeadKind = "lstm"
    # size of the state, or of the attention's hidden layer; the other kinds have none
    units: Annotated[int, Field(ge=1, le=8192)] = 128
    dropout: Share = 0.6  # share of the state that is dropped before the classifier
    # share of the embedding's dimensions dropped for a whole clip. The default is for some hundred
    # training videos; thousands may want less
    input_dropout: Share = 0.8
    # of the standardised embeddings before a layer with units. At 1 a thousand dimensions saturate
    # an LSTM's gates from the first step, and it memorises the training people
    input_scale: Annotated[float, Field(gt=0, le=100)] = 0.1
    # the kinds with units correct the logit of the linear model that "statistics" is: their last
    # layer starts at zero, and the correction is kept only if validation shows that it helps
    residual: bool = True
    # of the linear model: the "mean" of a clip's frames, their "deviation" over the clip, "steps",
    # the mean absolute difference of neighbouring frames
    statistics: Statistics = ("mean", "deviation")
    # of each frame before the statistics: "layernorm_l2" makes its own mean 0 and its length 1
    frame_norm: FrameNorm = "layernorm_l2"
    # a residual also reads absolute differences to the frames that many before; [] reads none
    strides: Strides = (1, 2, 4)
    condition: ConditionConfig = Field(default_factory=ConditionConfig)  # of the embeddings
    # how many heads are trained, from other weights and in another order each, and averaged; of
    # the recurrent kinds. An average takes so many times as long to train
    average: Annotated[int, Field(ge=1, le=32)] = 1

    @model_validator(mode="after")
    def _is_recurrent(self) -> HeadConfig:
        if self.average > 1 and self.kind in ("attention", "logistic"):  # others have no seed
            raise ValueError(
                f"head.average needs head.kind {', '.join(RECURRENT[:-1])} or {RECURRENT[-1]}"
            )
        return self

    @property
    def is_average(self) -> bool:
        """Whether it is the average of several; kinds without hidden units never are."""
        return self.average > 1 and self.kind in RECURRENT

    @property
    def width(self) -> int:
        """Units of the one layer that an average is stored as."""
        return self.units * (self.average if self.is_average else 1)

    @property
    def is_residual(self) -> bool:
        """Whether it corrects a linear model."""
        return self.residual and self.kind in STATEFUL

    @property
    def has_epochs(self) -> bool:
        """Whether it is trained by gradient descent; the others are fitted to convergence."""
        return self.kind not in ("mean", "statistics")

    @property
    def has_linear_model(self) -> bool:
        """Whether a linear model of the clip's statistics is in it."""
        return self.is_residual or self.kind == "statistics"


class TrainConfig(Settings):
    """How a head is trained."""

    section: ClassVar[str] = "train"

    epochs: Count = 100  # at most this many
    batch_size: Count = 32  # videos per step
    learning_rate: LearningRate = 1e-3  # of Adam
    weight_decay: Share = 0.0  # decoupled (AdamW, Loshchilov and Hutter, 2019); 0 is plain Adam
    patience: Count = 10  # epochs without a higher validation AUC before training stops
    class_weight: ClassWeight = Field(default_factory=_class_weight)  # see `ClassWeight`
    # of the linear model of "statistics": "class" tells fakes from reals, "pairs" a fake from its
    # original, "people" a fake from the mean of the real videos of its group, so that what people
    # and scenes differ in cancels. Where the manifest names too few of these it is "class"
    loss: Literal["class", "pairs", "people"] = "people"
    # of an LSTM's large matrix products in training; weights, recurrence and scores are float32.
    # "auto" is bfloat16 on a processor with AMX or AVX512-BF16, else float32
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    # fit the linear model on validation videos, too; calibration and threshold then come from
    # videos that are held out of it in turn (`calibration.folds`)
    refit: bool = False


class FinetuneConfig(Settings):
    """How the backbone is fine-tuned."""

    section: ClassVar[str] = "finetune"

    # how many of the 16 residual blocks learn, counted from the last; or "all", which includes the
    # first convolution
    unfreeze: Annotated[int | Literal["all"], AfterValidator(_known_blocks)] = 9
    # at most this many after the frozen phase; each shows every clip of the larger class once, and
    # as many of the other
    epochs: Count = 10
    frames_per_video: Count = 8  # crops kept for each video; validation looks at all of them
    frames_per_clip: Count = 4  # crops of a clip in one step
    pairs_per_batch: Count = 4  # pairs of a real and a fake clip in one step
    # who is in a pair with whom: a fake with its original where the manifest names it ("scene"),
    # same frames, same geometry; or with any real clip of its group ("group")
    pairs: Literal["scene", "group"] = "group"
    learning_rate: LearningRate = 4e-5  # Adam's, for the backbone
    head_learning_rate: LearningRate = 1e-4  # Adam's, for the dense layer
    # "cosine": both rates rise over the first half epoch, while Adam's moments are poor estimates,
    # then fall to zero along a cosine (Loshchilov and Hutter, 2017); "constant"
    schedule: Literal["cosine", "constant"] = "cosine"
    patience: Count = 10  # epochs without a higher validation AUC before training stops
    # see `ClassWeight`; batches are balanced already, so "balanced" is None
    class_weight: ClassWeight = Field(default_factory=_class_weight)
    flip: bool = True  # mirror half of the clips
    # turn a clip by up to this much either way
    rotate_degrees: Annotated[float, Field(ge=0, le=180)] = 8.0
    zoom: Share = 0.08  # enlarge or shrink a clip by up to this share
    brightness: Share = 0.1  # of a pair of clips, changed by up to this share either way
    contrast: Share = 0.1  # likewise
    saturation: Share = 0.1  # likewise
    # largest standard deviation; half of the pairs are blurred
    blur_pixels: Annotated[float, Field(ge=0, le=20)] = 0.8
    # largest standard deviation in grey levels; half of the pairs get noise
    noise: Annotated[float, Field(ge=0, le=100)] = 3.0
    # lowest quality of a JPEG round trip, which half of the pairs take; 0 is off
    jpeg_quality: Annotated[int, Field(ge=0, le=95)] = 60
    # share of a batch's fakes that become new forgeries of their real partners (docs/forge.md).
    # With real videos alone every fake is one, if this is above 0
    forge: Annotated[float, Field(ge=0, le=1)] = 0.5
    label_smoothing: Share = 0.0  # the labels become smoothing / 2 and 1 - smoothing / 2
    # share of the embedding that is dropped before the dense layer while the backbone learns, the
    # same for all frames of a clip
    dropout: Share = 0.0
    # of the arithmetic; weights and Adam's moments are float32 in all. "auto" is bfloat16 on a
    # processor with AMX or AVX512-BF16, else float32. float16 is for GPUs, with loss scaling
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32"


class CalibrationConfig(Settings):
    """How scores become probabilities and verdicts; fitted on validation."""

    section: ClassVar[str] = "calibration"

    # "temperature", "isotonic" (from some hundred validation videos on) or "none"
    method: Literal["temperature", "isotonic", "none"] = "temperature"
    # "platt" where Platt's sigmoid gives even odds, steady on tens of validation videos; "balanced"
    # for the best balanced accuracy, "fpr" for `target_fpr`, "cost" for the least cost
    threshold: Literal["platt", "balanced", "fpr", "cost"] = "platt"
    target_fpr: Share = 0.05  # share of real validation videos that may be called fake
    false_alarm_cost: Cost = 1.0  # of a real video called fake
    miss_cost: Cost = 1.0  # of a fake called real
    # share of validation videos, those nearest the threshold, that get no verdict
    unsure: Share = 0.1
    # folds, at most, that hold out people and forgery methods from heads of their own; likelihood
    # ratios are fitted on their scores. 0 fits none
    folds: Annotated[int, Field(ge=0, le=100), AfterValidator(_known_folds)] = 5
    # share of people like those of training and validation whose videos may be called novel, unlike
    # anything in training, and so UNSURE; 0 calls none
    novelty: Share = 0.05


class EvaluateConfig(Settings):
    """How a bundle is measured."""

    section: ClassVar[str] = "evaluate"

    # bootstrap samples behind each interval
    rounds: Annotated[int, Field(ge=10, le=1_000_000)] = 1000
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95  # level of each interval


class HoldOutConfig(Settings):
    """How `unmask evaluate --hold-out` divides people and forgery methods."""

    section: ClassVar[str] = "hold_out"

    # parts of the people, each tested by heads that learnt from the others
    person_folds: Annotated[int, Field(ge=2, le=100)] = 4
    # parts of the methods; a head is trained for each part of both
    method_folds: Annotated[int, Field(ge=2, le=100)] = 4
