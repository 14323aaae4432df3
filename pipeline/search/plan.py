"""What a sweep runs: every combination of a grid, with every seed, and a key for each run.

Apart from the running, since it needs no TensorFlow: a mistake in a grid is told at once.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data.datasets.manifest import Video
from data.errors import ConfigError
from data.io.reading import shown
from features.store.key import canonical
from features.store.layout import INDEX
from models.backbones.fingerprint import file_sha256
from models.configs import HeadConfig, TrainConfig
from pipeline.config import Params, load_params, parse_yaml

MOST_RUNS = 10_000
VERSION = 2
"""Of what a run is: raised where the same parameters would train another head."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One head to train.

    Attributes:
        setting: number of the combination, from 0.
        values: key -> value, of what the grid varies.
        head: its shape.
        train: how it is trained.
        seed: of weights, dropout and order.
        key: sha256 over all that decides the result, hex.
    """

    setting: int
    values: dict[str, Any]
    head: HeadConfig
    train: TrainConfig
    seed: int
    key: str


def plan_runs(
    grid: Sequence[str],
    *,
    seeds: int,
    params: Path | None,
    overrides: Sequence[str],
    features: Path,
    videos: Sequence[Video],
) -> list[Run]:
    """Every combination of the grid's values with every seed, settings in the grid's order.

    Args:
        grid: "key=value,value", of `head` and `train`; without any there is one setting.
        seeds: how many, from `seed` of the parameters on.
        params: a params.yaml, or None.
        overrides: "key=value" for all runs.
        features: the published folder.
        videos: those trained and validated on.

    Raises:
        ConfigError: a grid is not of that form, or a value does not fit.
    """
    axes = [_parse(text) for text in grid]
    names = [name for name, _ in axes]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--grid {name} stands twice; write all its values in one")
    combinations = list(itertools.product(*(values for _, values in axes)))
    if len(combinations) * seeds > MOST_RUNS:
        raise ConfigError(
            f"--grid and --seeds ask for {len(combinations) * seeds} runs, more than {MOST_RUNS}"
        )
    about = {
        "version": VERSION,
        "features": file_sha256(features / INDEX),
        "videos": sorted((one.split, one.sha256, one.path, one.label) for one in videos),
    }
    data = hashlib.sha256(canonical(about).encode("ascii")).hexdigest()
    runs = []
    for setting, values in enumerate(combinations):
        chosen = [f"{name}={value}" for name, value in zip(names, values, strict=True)]
        built = load_params(params, [*overrides, *chosen])
        if built.seed + seeds > 2**32:
            raise ConfigError(f"seed must leave room for --seeds below 2**32, got {built.seed}")
        for seed in range(built.seed, built.seed + seeds):
            facts = {
                "data": data,
                "head": built.head.model_dump(),
                "train": built.train.model_dump(),
                "seed": seed,
            }
            runs.append(
                Run(
                    setting=setting,
                    values={name: _value(built, name) for name in names},
                    head=built.head,
                    train=built.train,
                    seed=seed,
                    key=hashlib.sha256(canonical(facts).encode("ascii")).hexdigest(),
                )
            )
    return runs


def as_text(value: Any) -> str:
    """A value as `--set` and params.yaml take it, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _parse(text: str) -> tuple[str, list[str]]:
    """ "key=a,b" -> the key and its values, as `--set` would take each."""
    name, equals, listed = text.partition("=")
    name = name.strip()
    if not equals or not listed.strip():
        raise ConfigError(f"--grid must be KEY=VALUE,VALUE, as in head.units=64,128, got {text!r}")
    if name.partition(".")[0] not in ("head", "train"):
        raise ConfigError(
            f"--grid {name}: only keys of head and train can be swept on cached features"
        )
    try:
        values = parse_yaml(f"[{listed}]")
        texts = list(dict.fromkeys(as_text(value) for value in values))
    except (ValueError, TypeError, yaml.YAMLError) as error:  # `]` ends the list: `a], [b`
        raise ConfigError(f"--grid {name}: {shown(listed)} is no list of values") from error
    return name, texts


def _value(params: Params, name: str) -> Any:
    found: Any = params
    for part in name.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return found
