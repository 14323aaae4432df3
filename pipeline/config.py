"""Parameters: a params.yaml and `--set section.key=value` become frozen settings.

Each part of the program declares its own settings, with bounds and defaults (`data.io.settings`);
here they are put together, read, and an error is given the name of the file or option it is in.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field

from data.datasets.splits import SplitConfig
from data.demo import DemoConfig
from data.errors import ConfigError, InputError
from data.io.reading import BAD_FACTS, read_text, shown
from data.io.settings import SettingError, Settings
from data.self_blending.dataset import ForgeConfig
from data.video.frames import FrameRecipe
from models.configs import (
    BackboneConfig,
    CalibrationConfig,
    EvaluateConfig,
    ExtractConfig,
    FinetuneConfig,
    HeadConfig,
    HoldOutConfig,
    TrainConfig,
)

MAX_BYTES = 1 << 20
"""Of a params.yaml: ours has 2 KB, and a parser of YAML is slow."""

PRESETS = Path(__file__).parent / "presets"
"""Files of parameters that come with unmask; `--params NAME` takes one by its name."""

RETIRED = {
    f"{section}.mixed_precision": f"set {section}.precision to float16 for what true did; remove "
    "the line for false"
    for section in ("extract", "finetune")
} | {"frames.faces": "every video is cropped at its own face; remove the line"}
"""Keys of earlier versions, and what to do where one is still used."""


class Params(Settings):
    """All parameters."""

    # folder of the videos, for dvc.yaml; the commands take theirs as an argument
    videos: str = "artifacts/demo"
    # of everything that is drawn in training and evaluation
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    # name -> folder of real videos, for dvc.yaml's stages `forge@name`; none by default
    reals: dict[str, str] = Field(default_factory=dict)
    demo: DemoConfig = Field(default_factory=DemoConfig)
    forge: ForgeConfig = Field(default_factory=ForgeConfig)
    index: SplitConfig = Field(default_factory=SplitConfig)
    frames: FrameRecipe = Field(default_factory=FrameRecipe)
    backbone: BackboneConfig = Field(default_factory=BackboneConfig)
    extract: ExtractConfig = Field(default_factory=ExtractConfig)
    finetune: FinetuneConfig = Field(default_factory=FinetuneConfig)
    head: HeadConfig = Field(default_factory=HeadConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    calibration: CalibrationConfig = Field(default_factory=CalibrationConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    hold_out: HoldOutConfig = Field(default_factory=HoldOutConfig)


SCALARS = ("videos", "seed")
"""Parameters that are not sections; an empty section takes its defaults."""


def load_params(path: Path | None, overrides: Sequence[str] = ()) -> Params:
    """Reads parameters.

    Args:
        path: a YAML file, or the name of a preset; None takes the defaults.
        overrides: "section.key=value", applied last.

    Raises:
        InputError: the file does not exist or is not YAML.
        ConfigError: a key is unknown, or a value does not fit; the file or option is named.
    """
    tree = {} if path is None else _read_yaml(path)
    overridden = [_override(tree, text) for text in overrides]
    try:
        for key, advice in RETIRED.items():
            if _holds(tree, key):
                raise SettingError(key, f"{key} was retired: {advice}")
        return Params(
            **{
                name: {} if value is None and name not in SCALARS else value
                for name, value in tree.items()
            }
        )
    except SettingError as error:
        for key in reversed(overridden):
            if f"{error.key}.".startswith(f"{key}.") or key.startswith(f"{error.key}."):
                raise ConfigError(f"--set {key}: {error}") from error
        raise ConfigError(f"{path}: {error}") from error


def is_given(path: Path | None, overrides: Sequence[str], key: str) -> bool:
    """Whether the file or an override sets a parameter, even to its default."""
    tree = {} if path is None else _read_yaml(path)
    for text in overrides:
        _override(tree, text)
    return _holds(tree, key)


def as_options(given: Params, names: Sequence[str]) -> list[str]:
    """`--set` options, quoted for a shell, that give what these parameters have beside defaults."""
    defaults = Params().model_dump()
    options = []
    for name, value in given.model_dump(include=set(names)).items():
        section = value if isinstance(value, dict) else {"": value}
        usual = defaults[name] if isinstance(value, dict) else {"": defaults[name]}
        for key, one in section.items():
            if one != usual.get(key):
                place = f"{name}.{key}" if key else name
                options.append(f"--set {shlex.quote(f'{place}={json.dumps(one)}')}")
    return options


class _Loader(yaml.SafeLoader):
    """YAML's safe loader; a key that stands twice is an error, and 5e-6 is a number (YAML 1.2)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Keys as text; refuses a second one of the same name."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float) or not str(key)[:100].isprintable():
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a word", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return {str(key): value for key, value in super().construct_mapping(node, deep).items()}


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str) -> Any:
    """YAML of plain values; keys stand once.

    Raises:
        ValueError: it is not; why, in one line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(f"{' '.join(str(error).split())}; mend it") from error
    except RecursionError as error:
        raise ValueError("it is nested too deep; it must hold sections of keys") from error
    except BAD_FACTS as error:  # of a day like 2024-13-01, `!!int ""`, `!!bool x`
        raise ValueError(f"a value is invalid ({' '.join(str(error).split())}); mend it") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    """The tree of a file, or of a preset by its name; an empty file is an empty tree."""
    preset = PRESETS / f"{path}.yaml"
    text = read_text(
        preset if len(path.parts) == 1 and not path.exists() and preset.is_file() else path,
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


def _holds(tree: Any, key: str) -> bool:
    """Whether a tree has a dotted key."""
    for name in key.split("."):
        if not isinstance(tree, dict) or name not in tree:
            return False
        tree = tree[name]
    return True
