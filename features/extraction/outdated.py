"""Counts videos whose features, or crops, are of an earlier pixels version.

They stay in the store, readable, until `unmask store gc` removes them, but are not reused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from data.errors import StoreError
from features.extraction.job import Job
from features.store.key import Recipe, sequence_key
from features.store.layout import sealed_in, staged_in
from features.store.shard import Shard
from features.store.store import FeatureStore


def count_outdated(
    jobs: Iterable[Job], store: FeatureStore, feature_set: Path | None = None
) -> int:
    """Number of videos that lack features of the store's recipe and have older ones.

    A forgery was once stored under the face of its original: it is found by its name.

    Args:
        jobs: the videos.
        store: of the recipe that is wanted, open.
        feature_set: one that may hold older ones, too; there need be none.
    """
    recipe = store.recipe
    known: set[str] = set()
    for part in sorted(store.folder.parent.glob("*/")):
        shards = _open([*sealed_in(part), *staged_in(part)])
        first = next(shards, None)
        if first is not None and is_older(first.recipe, recipe):  # a part is of one recipe
            for shard in chain([first], shards):
                known.update(shard.sha256s, shard.paths)
    if feature_set is not None:
        for shard in _open(sorted(feature_set.glob("shard-*.h5"))):
            if is_older(shard.recipe, recipe):
                known.update(shard.sha256s, shard.paths)
    return sum(
        (job.sha256 in known or job.name in known)
        and not store.has(sequence_key(job.sha256, recipe))
        for job in jobs
    )


def _open(paths: Iterable[Path]) -> Iterator[Shard]:
    for path in paths:
        try:
            yield Shard(path)
        except (StoreError, OSError):  # `store verify` reports it
            continue


def is_older(recipe: Recipe, wanted: Recipe) -> bool:
    """Whether it differs by an earlier pixels version alone, which has its own face detector."""
    same = replace(recipe, pixels_version=wanted.pixels_version, face_detector=wanted.face_detector)
    return same.digest == wanted.digest and recipe.pixels_version < wanted.pixels_version


def format_outdated(count: int, recipe: Recipe, what: str = "features") -> list[str]:
    """A line about them, or none."""
    if not count:
        return []
    return [
        f"{count} of these videos have {what} of an earlier pixels version; they are made again, "
        f"as version {recipe.pixels_version}"
    ]
