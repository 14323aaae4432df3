"""Counts videos whose features, or crops, are of an earlier pixels version.

They stay in the store, readable, until `unmask store gc` removes them, but are not reused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
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
    older = {replace(recipe, pixels_version=one).digest for one in range(1, recipe.pixels_version)}
    parts = [store.folder.parent / digest[:16] for digest in sorted(older)]
    files = [path for part in parts for path in (*sealed_in(part), *staged_in(part))]
    if feature_set is not None:
        files += sorted(feature_set.glob("shard-*.h5"))
    known: set[str] = set()
    for path in files:
        try:
            shard = Shard(path)
        except (StoreError, OSError):  # `store verify` reports it
            continue
        if shard.recipe.digest in older:
            known.update(shard.sha256s, shard.paths)
    return sum(
        (job.sha256 in known or job.name in known)
        and not store.has(sequence_key(job.sha256, recipe))
        for job in jobs
    )


def format_outdated(count: int, recipe: Recipe, what: str = "features") -> list[str]:
    """A line about them, or none."""
    if not count:
        return []
    return [
        f"{count} of these videos have {what} of an earlier pixels version; they are made again, "
        f"as version {recipe.pixels_version}"
    ]
