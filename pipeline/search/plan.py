"""What a sweep may try: values or ranges of parameters, and the runs of one combination of them.

Needs neither TensorFlow nor Optuna, so that a mistake in `--grid` is reported at once.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from data.datasets.manifest import Video
from data.errors import ConfigError
from data.io.reading import shown
from features.store.key import canonical
from features.store.layout import INDEX
from models.backbones.fingerprint import file_sha256
from models.configs import HeadConfig, TrainConfig
from pipeline.config import Params, load_params, parse_yaml

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

MOST_RUNS = 10_000
VERSION = 2
"""Part of a run's key: raised where the same parameters would train another head."""
RANGE = re.compile(r"\s*([^\s,]+?)\.\.([^\s,:]+)(:log)?\s*")
"""LOW..HIGH, or LOW..HIGH:log, of a parameter."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One head to train."""

    head: HeadConfig  # its shape
    train: TrainConfig  # how it is trained
    seed: int  # of weights, dropout and order
    key: str  # sha256 over all that decides the result, hex


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One combination of parameters, with a run for each seed."""

    values: dict[str, Any]  # key -> value, of what the sweep varies
    runs: tuple[Run, ...]  # one for each seed


@dataclass(frozen=True, kw_only=True)
class Choices:
    """A parameter that takes listed values, each as `--set` takes it."""

    key: str
    texts: tuple[str, ...]

    def suggest(self, trial: BaseTrial) -> str:
        """The value that the sampler draws for a trial."""
        return str(trial.suggest_categorical(self.key, self.texts))


@dataclass(frozen=True, kw_only=True)
class Range:
    """A parameter that takes any number from `low` to `high`, drawn on a linear or log scale."""

    key: str
    low: float
    high: float
    log: bool
    whole: bool  # only integers

    def suggest(self, trial: BaseTrial) -> str:
        """The value that the sampler draws for a trial, as `--set` takes it; of 4 digits."""
        if self.whole:
            number = trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
            return str(number)
        value = trial.suggest_float(self.key, self.low, self.high, log=self.log)
        return as_text(float(f"{value:.4g}"))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A search space and what every run of it shares."""

    axes: tuple[Choices | Range, ...]  # what is varied
    seeds: int  # runs of each combination
    first_seed: int  # of each combination's runs; the others follow
    params: Path | None  # a params.yaml, or None
    overrides: tuple[str, ...]  # "key=value" for all runs
    data: str  # sha256 over the features and the videos with their splits and labels, hex

    def candidate(self, texts: Sequence[str]) -> Candidate:
        """The combination of these values, one for each axis.

        Raises:
            ConfigError: a value does not fit.
        """
        chosen = [f"{axis.key}={text}" for axis, text in zip(self.axes, texts, strict=True)]
        built = load_params(self.params, [*self.overrides, *chosen])
        facts = {
            "data": self.data,
            "head": _head_facts(built.head),
            "train": _train_facts(built.train, built.head),
        }
        runs = [
            Run(head=built.head, train=built.train, seed=seed, key=_digest(facts | {"seed": seed}))
            for seed in range(self.first_seed, self.first_seed + self.seeds)
        ]
        values = {axis.key: _value(built, axis.key) for axis in self.axes}
        return Candidate(values=values, runs=tuple(runs))

    def grid(self) -> dict[tuple[str, ...], Candidate]:
        """Texts of the values -> every combination of listed values, in the order of the axes."""
        texts = [axis.texts for axis in self.axes if isinstance(axis, Choices)]
        return {values: self.candidate(values) for values in itertools.product(*texts)}

    def name(self, sampler: str, *, prune: bool) -> str:
        """A digest of the search, by which a later command finds what it has tried."""
        first = [
            axis.texts[0] if isinstance(axis, Choices) else str(axis.low) for axis in self.axes
        ]
        axes = [asdict(axis) for axis in self.axes]
        runs = [run.key for run in self.candidate(first).runs]
        return _digest({"axes": axes, "runs": runs, "sampler": sampler, "prune": prune})


def make_plan(
    grid: Sequence[str],
    *,
    sampler: str,
    trials: int | None,
    seeds: int,
    params: Path | None,
    overrides: Sequence[str],
    features: Path,
    videos: Sequence[Video],
) -> Plan:
    """Checks what the user asks for.

    Args:
        grid: "key=value,value" or "key=low..high", of `head` and `train`; without any there is one
            combination.
        sampler: "grid" tries every combination, "tpe" draws `trials` of them.
        trials: see `sampler`.
        seeds: runs of each combination, from `seed` of the parameters on.
        params: a params.yaml, or None.
        overrides: "key=value" for all runs.
        features: the feature set.
        videos: those trained and validated on.

    Raises:
        ConfigError: the options do not fit together, or a value does not fit.
    """
    if sampler == "grid" and trials is not None:
        raise ConfigError("--trials needs --sampler tpe; a grid has as many settings as it has")
    if sampler == "tpe" and not grid:
        raise ConfigError("--sampler tpe needs something to vary, as --grid head.units=16..128")
    first_seed = load_params(params, overrides).seed
    if first_seed + seeds > 2**32:
        raise ConfigError(f"seed must leave room for --seeds below 2**32, got {first_seed}")
    about = {
        "version": VERSION,
        "features": file_sha256(features / INDEX),
        "videos": sorted((one.split, one.sha256, one.path, one.label) for one in videos),
    }
    plan = Plan(
        axes=tuple(_parse(text, params, overrides) for text in grid),
        seeds=seeds,
        first_seed=first_seed,
        params=params,
        overrides=tuple(overrides),
        data=_digest(about),
    )
    names = [axis.key for axis in plan.axes]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--grid {name} stands twice; write all its values in one")
    for axis in plan.axes:
        if sampler == "grid" and isinstance(axis, Range):
            raise ConfigError(f"--grid {axis.key}: a range needs --sampler tpe; or list its values")
    texts = [axis.texts for axis in plan.axes if isinstance(axis, Choices)]
    count = (math.prod(map(len, texts)) if trials is None else trials) * seeds
    if count > MOST_RUNS:
        raise ConfigError(f"--grid and --seeds ask for {count} runs, more than {MOST_RUNS}")
    for axis in plan.axes:
        for text in axis.texts if isinstance(axis, Choices) else ():
            load_params(params, [*overrides, f"{axis.key}={text}"])
    return plan


def as_text(value: Any) -> str:
    """A value as `--set` and params.yaml take it, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _parse(text: str, params: Path | None, overrides: Sequence[str]) -> Choices | Range:
    """ "key=a,b" or "key=low..high" as an axis."""
    name, equals, listed = text.partition("=")
    name = name.strip()
    if not equals or not listed.strip():
        raise ConfigError(f"--grid must be KEY=VALUE,VALUE, as in head.units=64,128, got {text!r}")
    if name.partition(".")[0] not in ("head", "train"):
        raise ConfigError(
            f"--grid {name}: only keys of head and train can be swept on cached features"
        )
    if ends := RANGE.fullmatch(listed):
        low, high = (
            _value(load_params(params, [*overrides, f"{name}={end}"]), name)
            for end in ends.groups()[:2]
        )
        return _range(name, low, high, log=ends[3] is not None)
    try:
        values = parse_yaml(f"[{listed}]")
        texts = tuple(dict.fromkeys(as_text(value) for value in values))
    except (ValueError, TypeError, yaml.YAMLError) as error:  # `]` ends the list: `a], [b`
        raise ConfigError(f"--grid {name}: {shown(listed)} is no list of values") from error
    return Choices(key=name, texts=texts)


def _range(name: str, low: Any, high: Any, *, log: bool) -> Range:
    """The range between two values of a parameter, which says what it is: whole or any number."""
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise ConfigError(f"--grid {name}: only a number has a range; list its values")
    if low >= high:
        raise ConfigError(f"--grid {name}: a range must rise, as in 16..128, got {low}..{high}")
    if log and low <= 0:
        raise ConfigError(f"--grid {name}: a range with :log must begin above 0, got {low}")
    return Range(key=name, low=low, high=high, log=log, whole=isinstance(low, int))


def _value(params: Params, name: str) -> Any:
    found: Any = params
    for part in name.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return found


def _head_facts(head: HeadConfig) -> dict[str, Any]:
    """A head's part of a run's key; sweeps of earlier versions had only what is left here."""
    facts = head.model_dump()
    if head.condition.kind == "none":
        del facts["condition"]
    if head.kind == "mean":
        facts["fitted"] = "L-BFGS"  # earlier versions trained it by epochs
    if not head.has_linear_model:
        for name in ("residual", "statistics", "frame_norm", "strides"):
            del facts[name]
    return facts


def _train_facts(train: TrainConfig, head: HeadConfig) -> dict[str, Any]:
    """The same of training."""
    facts = train.model_dump()
    if not head.has_linear_model:
        del facts["loss"], facts["refit"]
    return facts


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(facts).encode("ascii")).hexdigest()
