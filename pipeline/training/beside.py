"""What `unmask train` fits without TensorFlow, in a process of its own while it imports TensorFlow.

That takes seconds in which Python's lock is held, so a thread would wait for most of them: the
conditioning of 1,000 clips took 4.4 s in a thread and 2.0 s alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.datasets.manifest import Manifest
from data.errors import ToolError
from data.io.interrupts import interruptible_threads
from data.io.processes import process_pool
from data.io.reading import file_sha256
from data.operating_system.machine import cores
from features.sequences.dataset import Sequences, load_sequences
from features.store.feature_set import Features
from features.store.layout import INDEX
from models.conditioning.cache import CACHE, Conditioned, condition
from models.configs import ConditionConfig

if TYPE_CHECKING:
    from models.applicability.novelty_fit import NoveltyFit
    from models.evaluation.baselines import Linear

Means = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """What a head learns from and is chosen by."""

    features: Path  # the feature set
    videos: Manifest
    train: Sequences
    val: Sequences


@dataclass(frozen=True, kw_only=True, eq=False)
class Baselines:
    """What a bundle has beside its heads."""

    linear: dict[str, Linear]  # by name
    novelty: NoveltyFit | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Beside:
    """What is being fitted; each function waits for it."""

    conditioned: Callable[[], Conditioned | None]
    baselines: Callable[[], Baselines]


def load_splits(features: Features, videos: Manifest) -> Splits:
    """Both splits with features; the training split with its views."""
    return Splits(
        features=features.folder,
        videos=videos,
        train=load_sequences(features, videos.split("train"), views=True),
        val=load_sequences(features, videos.split("val")),
    )


def is_worth_a_process() -> bool:
    """Whether TensorFlow is still to be imported, and there is a core to spare."""
    return "tensorflow" not in sys.modules and cores() > 1


@contextmanager
def fitted_beside(
    splits: Splits, *, config: ConditionConfig, novelty_share: float, process: bool
) -> Iterator[Beside]:
    """Begins to fit.

    Args:
        splits: of `load_splits`.
        config: of the conditioning.
        novelty_share: as of `fit_baselines`.
        process: in a process; else in a thread. What a process conditioned comes by the cache:
            where that cannot be written, this process conditions anew.

    Raises:
        ToolError: the process did not start, or was ended from outside.
    """
    if not process:
        with interruptible_threads(1) as thread:
            yield Beside(
                conditioned=thread.submit(conditioned_features, splits, config).result,
                baselines=thread.submit(fit_baselines, splits, novelty_share).result,
            )
        return
    pool = process_pool(1)
    try:
        cached = pool.submit(_fill_cache, splits.features, splits.videos, config)
        baselines = pool.submit(_fit_baselines, novelty_share)
        pool.shutdown(wait=False)  # it ends with its work

        def conditioned() -> Conditioned | None:
            cached.result()
            return conditioned_features(splits, config)

        yield Beside(conditioned=conditioned, baselines=baselines.result)
    except BrokenProcessPool as error:
        raise ToolError(
            "the process that fits baselines did not start or was ended from outside; run the same "
            "command again, with more memory if it was short"
        ) from error
    finally:
        pool.end()


def conditioned_features(splits: Splits, config: ConditionConfig) -> Conditioned | None:
    """Both splits conditioned, from the cache where they are; None where nothing is."""
    if config.kind == "none":
        return None
    sha256, parts = file_sha256(splits.features / INDEX), (splits.train, splits.val)
    return condition(*parts, config, features_sha256=sha256, cache=CACHE)


def fit_baselines(splits: Splits, novelty_share: float) -> Baselines:
    """Logistic regressions on metadata and on mean embeddings, and the means' distribution.

    Args:
        splits: what is learnt from and chosen by.
        novelty_share: of people who may be called novel; 0 fits no distribution.
    """
    from models.evaluation.baselines import fit_linear, metadata, pooled

    train, val = splits.train, splits.val
    means = pooled(train.features, train.mask), pooled(val.features, val.mask)
    known = {video.path: video for video in splits.videos.videos}
    files = [[known[path] for path in part.paths] for part in (train, val)]
    codecs = tuple(sorted({video.codec for video in files[0]}))
    inputs = {"metadata": [metadata(part, codecs) for part in files], "logistic": [*means]}
    linear = {
        name: fit_linear(
            fit, train.labels, check, val.labels, codecs=codecs if name == "metadata" else ()
        )
        for name, (fit, check) in inputs.items()
    }
    return Baselines(linear=linear, novelty=_fit_novelty(train, val, means, novelty_share))


def _fit_novelty(
    train: Sequences, val: Sequences, means: tuple[Means, Means], share: float
) -> NoveltyFit | None:
    """The distribution of the mean embeddings; None with a share of 0 or with few videos."""
    from models.applicability.novelty_fit import fit_novelty, spread_frames
    from models.evaluation.baselines import middles

    if not share:
        return None
    frames = np.concatenate([middles(part.features, part.mask) for part in (train, val)])
    groups = (*train.groups, *val.groups)
    spread = spread_frames([(part.features, part.mask) for part in (train, val)])
    return fit_novelty(*means, groups, share=share, frames=frames, spread=spread)


_loaded: list[Splits] = []
"""Of the child process, by its first task."""


def _fill_cache(features: Path, videos: Manifest, config: ConditionConfig) -> None:
    """In the child process: conditions both splits into the cache, where the parent reads them."""
    _loaded.append(load_splits(Features(features), videos))
    conditioned_features(_loaded[0], config)


def _fit_baselines(novelty_share: float) -> Baselines:
    """In the child process."""
    return fit_baselines(_loaded[0], novelty_share)
