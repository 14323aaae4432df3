"""Parameters: params.yaml and `--set` become frozen dataclasses; whatever does not fit is an error.

Each room owns its dataclass and its defaults. Here they are put together, read and checked: an
unknown key names itself and its nearest neighbour, an ill-typed value names its place.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import shlex
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from data.datasets.splits import SplitConfig
from data.demo import DemoConfig
from data.errors import ConfigError, InputError
from data.io.reading import BAD_FACTS, read_text, shown
from data.io.settings import Settings
from data.self_blending.dataset import ForgeConfig
from data.video.frames import FrameRecipe
from models.configs import CalibrationConfig, FinetuneConfig, HeadConfig, TrainConfig

MAX_BYTES = 1 << 20
"""Of a params.yaml: ours has 2 KB, and a parser of YAML is slow."""


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Which backbone to start from.

    Attributes:
        name: resnet50-imagenet, resnet50-thin, resnet50-random, or a path.
    """

    name: str = "resnet50-thin"


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """How features are extracted; none of it but dtype and mixed_precision changes them.

    Attributes:
        dtype: of the stored features, float16 or float32.
        batch_size: frames of one call of the backbone.
        runtime: of the backbone, auto, tensorflow or openvino; they differ by rounding alone.
        mixed_precision: of TensorFlow on a GPU.
        max_failures: share of videos that may fail before the command does.
    """

    dtype: Literal["float16", "float32"] = "float16"
    batch_size: int = 32
    runtime: Literal["auto", "tensorflow", "openvino"] = "auto"
    mixed_precision: bool = False
    max_failures: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= 4096:
            raise ConfigError(f"extract.batch_size must be 1 to 4096, got {self.batch_size}")
        if not 0 <= self.max_failures <= 1:
            raise ConfigError(f"extract.max_failures must be 0 to 1, got {self.max_failures}")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How a bundle is measured.

    Attributes:
        rounds: bootstrap samples behind each interval.
        confidence: of each interval.
    """

    rounds: int = 1000
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 10 <= self.rounds <= 1_000_000:
            raise ConfigError(f"evaluate.rounds must be 10 to 1000000, got {self.rounds}")
        if not 0.5 <= self.confidence < 1:
            raise ConfigError(f"evaluate.confidence must be 0.5 to below 1, got {self.confidence}")


@dataclass(frozen=True, kw_only=True)
class Params:
    """All parameters.

    Attributes:
        videos: folder of the videos, for dvc.yaml; the commands take theirs as an argument.
        reals: name -> folder of real videos, for dvc.yaml's stages `forge@name`; none by default.
        seed: of everything that is drawn in training and evaluation.
    """

    videos: str = "artifacts/demo"
    seed: int = 0
    reals: dict[str, str] = field(default_factory=dict)
    demo: DemoConfig = field(default_factory=DemoConfig)
    forge: ForgeConfig = field(default_factory=ForgeConfig)
    index: SplitConfig = field(default_factory=SplitConfig)
    frames: FrameRecipe = field(default_factory=FrameRecipe)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    extract: ExtractConfig = field(default_factory=ExtractConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must be from 0 to 4294967295, got {self.seed}")


def load_params(path: Path | None, overrides: Sequence[str] = ()) -> Params:
    """Reads parameters.

    Args:
        path: a YAML file; None takes the defaults.
        overrides: "section.key=value", applied last.

    Raises:
        InputError: the file does not exist or is no YAML.
        ConfigError: a key is unknown, or a value does not fit; the file or option is named.
    """
    tree = {} if path is None else _read_yaml(path)
    sources = [(key, f"--set {key}") for key in (_override(tree, text) for text in overrides)]

    def where(place: str) -> str:
        """What the user wrote at a place: the option, or the file."""
        for key, option in reversed(sources):
            if place == key or place.startswith(f"{key}.") or key.startswith(f"{place}."):
                return option
        return str(path)

    return typing.cast(Params, _build(Params, tree, "", where))


def is_given(path: Path | None, overrides: Sequence[str], key: str) -> bool:
    """Whether the file or an override says a parameter, even where it says the default."""
    tree: Any = {} if path is None else _read_yaml(path)
    for text in overrides:
        _override(tree, text)
    for name in key.split("."):
        if not isinstance(tree, dict) or name not in tree:
            return False
        tree = tree[name]
    return True


def as_options(params: Params, names: Sequence[str]) -> list[str]:
    """Options that give these sections and values, quoted for a shell: what is not default."""
    plain = _as_dict(Params())
    options = []
    for name, value in _as_dict(params).items():
        if name not in names:
            continue
        section = value if isinstance(value, dict) else {"": value}
        usual = plain[name] if isinstance(value, dict) else {"": plain[name]}
        for key, one in section.items():
            if one != usual[key]:
                place = f"{name}.{key}" if key else name
                options.append(f"--set {shlex.quote(f'{place}={json.dumps(one)}')}")
    return options


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, but a key that stands twice is an error, as in any sane file."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuses a second key of the same name."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool) or not _is_short(key):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a word", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    """The file's tree; an empty file is an empty tree."""
    text = read_text(
        path,
        remedy="give a params.yaml in UTF-8",
        missing=f"the parameters {path} do not exist; check the path",
        most_bytes=MAX_BYTES,
    )
    try:
        tree = parse_yaml(text)
    except ValueError as error:
        raise InputError(f"{path} is no YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold sections of keys, got {type(tree).__name__}")
    return tree


def parse_yaml(text: str) -> Any:
    """YAML of plain values; keys stand once.

    Raises:
        ValueError: it is none; why, in one line.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(f"{' '.join(str(error).split())}; mend it") from error
    except RecursionError as error:
        raise ValueError("it is nested too deep; it must hold sections of keys") from error
    except BAD_FACTS as error:  # of a day like 2024-13-01, `!!int ""`, `!!bool x`
        raise ValueError(
            f"a value cannot be meant ({' '.join(str(error).split())}); mend it"
        ) from error


def _override(tree: dict[str, Any], override: str) -> str:
    """Applies one "a.b=c" to the tree and returns "a.b"."""
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise ConfigError(f"--set must be KEY=VALUE, as in head.units=64, got {override!r}")
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"--set {key}: {shown(text)} is no value") from error
    for name in names[:-1]:
        if tree.get(name) is None:
            tree[name] = {}
        tree = tree[name]
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {key}: {name} has no keys of its own")
    tree[names[-1]] = value
    return ".".join(names)


RETIRED = {"frames.faces": "every video is cropped at its own face; remove the line"}
"""Keys of earlier versions, and what to do where one still stands."""
Where = Callable[[str], str]
"""Place of a key -> what the user wrote there, for the message."""


def _build(kind: type, tree: Mapping[str, Any], place: str, where: Where) -> Any:
    """A dataclass out of a mapping; what is missing takes the class's own default."""
    hints = typing.get_type_hints(kind)
    names = _names(kind)
    values = {}
    for key, value in tree.items():
        path = f"{place}{key}"
        if path in RETIRED:
            raise ConfigError(f"{where(path)}: {path} was retired: {RETIRED[path]}")
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1, cutoff=0.4)
            advice = f"did you mean {place}{near[0]}?" if near else f"known: {', '.join(names)}"
            raise ConfigError(f"{where(path)}: unknown key {path}; {advice}")
        values[key] = _convert(hints[key], value, path, where)
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{where(place.removesuffix('.'))}: {error}") from error


def _names(kind: Any) -> list[str]:
    """The keys of a section."""
    if issubclass(kind, Settings):
        return list(kind.model_fields)
    return [one.name for one in dataclasses.fields(kind)]


def _as_dict(params: Params) -> dict[str, Any]:
    """All sections as plain values."""
    return {
        name: value.model_dump() if isinstance(value, Settings) else value
        for name, value in dataclasses.asdict(params).items()
    }


WORDS = {
    int: "an integer",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "a section of keys",
    type(None): "none",
}


def _convert(hint: Any, value: Any, path: str, where: Where) -> Any:
    """A value of the hinted type, or an error that says what it must be."""
    if isinstance(hint, type) and (dataclasses.is_dataclass(hint) or issubclass(hint, Settings)):
        if isinstance(value, Mapping) or value is None:
            return _build(hint, value or {}, f"{path}.", where)
        raise ConfigError(f"{where(path)}: {path} must be a section of keys, got {shown(value)}")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        for one in sorted(arguments, key=lambda one: one is not type(None)):
            if _fits(one, value):
                return _convert(one, value, path, where)
    elif origin is dict and isinstance(value, Mapping):
        return {
            str(key): _convert(arguments[1], one, f"{path}.{key}", where)
            for key, one in value.items()
        }
    elif _fits(hint, value):
        return None if hint is type(None) else float(value) if hint is float else value
    raise ConfigError(f"{where(path)}: {path} must be {_wanted(hint)}, got {shown(value)}")


def _fits(hint: Any, value: Any) -> bool:
    """Whether a value can stand for a simple type; of a section, only that it is one."""
    if typing.get_origin(hint) is dict:
        return isinstance(value, Mapping)
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if hint is type(None):
        return value is None or value == "none"
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        # PyYAML reads 5e-6 as a text, since YAML 1.1 wants a point in it.
        return isinstance(value, int | float | str) and _is_number(value)
    return isinstance(value, hint) and _is_short(value)


def _wanted(hint: Any) -> str:
    """What a value must be, in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(map(str, arguments))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_wanted(one) for one in arguments)
    return WORDS[origin or hint]


def _is_number(value: float | str) -> bool:
    """Whether it is a number that a float can hold."""
    try:
        return math.isfinite(float(value))
    except (ValueError, OverflowError):
        return False


def _is_short(value: Any) -> bool:
    """Whether a whole number is one that can be meant, and shown; anything else is."""
    return not isinstance(value, int) or abs(value) < 2**63
