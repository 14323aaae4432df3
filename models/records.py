"""The types of `bundle.json` and `backbone.json`, checked before anything is built of them.

So an error in an edited or damaged record names the key, and does not appear minutes later. Of
bundles versions 1 to 3; keys that a later unmask adds are ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, InstanceOf, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from data.errors import StoreError

BUNDLE_RECORD = "bundle.json"
FORMAT = "unmask-bundle"
VERSION = 3
"""2 has calibrations, on whose scale the thresholds are, and baselines, 3 a novelty of powers of
embeddings in place of their logarithms; 1 and 2 are still read."""
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
Text = InstanceOf[str]
"""Names of people may hold bytes that are no UTF-8, which pydantic's own `str` refuses."""


class _Calibration(TypedDict):
    method: str
    temperature: Annotated[Number, Field(gt=0)]
    knots: list[list[Number]]
    rule: NotRequired[str]
    threshold_low: Number | None
    threshold_high: Number | None
    unsure_low: Number | None
    unsure_high: Number | None


class _LikelihoodRatio(TypedDict):
    slope: Annotated[Number, Field(ge=0)]
    intercept: Number
    lower: Annotated[Number, Field(le=0)]
    upper: Annotated[Number, Field(ge=0)]
    draws: Annotated[list[list[Number]], Field(max_length=2000)]
    videos: Count
    groups: Count
    methods: Annotated[int, Field(ge=0, lt=2**31)]
    cllr: Number


class _Head(TypedDict):
    sha256: str
    weights_sha256: NotRequired[str]
    config: dict[str, str | bool | Number | list[str | Number] | dict[str, str | Number]]
    threshold: Number
    history: list[dict[str, Number]]
    best_epoch: int
    stop_reason: str
    calibration: NotRequired[_Calibration]
    likelihood_ratio: NotRequired[_LikelihoodRatio]


class _Novelty(TypedDict):
    sha256: str
    variances: Annotated[list[Annotated[Number, Field(gt=0)]], Field(min_length=1, max_length=4096)]
    rest: Annotated[Number, Field(gt=0)]
    threshold: Annotated[Number, Field(gt=0)]
    share: Number
    people: Count
    exponent: NotRequired[Annotated[Number, Field(ge=0, le=1)]]


class _OneImage(TypedDict):
    judge: str
    threshold: Number
    calibration: _Calibration
    novelty_threshold: Annotated[Number, Field(gt=0)] | None
    videos: Count


class _Linear(TypedDict):
    mean: list[Number]
    scale: list[Number]
    weight: list[Number]
    bias: Number
    threshold: Number
    codecs: list[Text]


class _Frames(TypedDict):
    size: Count


class _Recipe(TypedDict):
    frames: _Frames
    face_detector: NotRequired[str | None]
    backbone: str
    backbone_digest: str
    dtype: NotRequired[str]


class _Backbone(TypedDict):
    name: Text
    folder: Text | None


class _Part(TypedDict):
    sha256s: NotRequired[list[Text]]
    groups: NotRequired[list[Text]]


class _Provenance(TypedDict):
    trained_on: NotRequired[dict[str, _Part]]


class _Record(TypedDict):
    recipe: _Recipe
    dim: Count
    backbone: _Backbone
    trained_on: dict[str, _Part]
    provenance: _Provenance
    versions: dict[str, str]
    head: _Head
    baseline: NotRequired[_Head]
    controls: NotRequired[dict[str, _Linear]]
    command: NotRequired[Text]
    novelty: NotRequired[_Novelty]
    one_image: NotRequired[_OneImage]


_Quantized = TypedDict("_Quantized", {"network.xml": Text, "network.bin": Text})


class _BackboneRecord(TypedDict):
    name: Text
    architecture: str
    digest: str
    provenance: _Provenance
    quantized: NotRequired[_Quantized]


_RECORD: TypeAdapter[Any] = TypeAdapter(_Record)
_BACKBONE: TypeAdapter[Any] = TypeAdapter(_BackboneRecord)


def check_record(facts: dict[str, Any], path: Path) -> None:
    """Refuses a bundle.json whose values have other types.

    Raises:
        StoreError: the first of them is named.
    """
    _check(_RECORD, facts, path, "train the bundle anew")


def check_backbone(facts: dict[str, Any], path: Path) -> None:
    """The same for a backbone.json."""
    _check(_BACKBONE, facts, path, "write the backbone anew")


def _check(adapter: TypeAdapter[Any], facts: dict[str, Any], path: Path, remedy: str) -> None:
    try:
        adapter.validate_python(facts, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"])
        raise StoreError(f"{path} is damaged: {place}: {first['msg']}; {remedy}") from error
