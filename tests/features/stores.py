"""Stores and feature sets to damage, and ways to damage them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from features.store.feature_set import publish
from features.store.key import Recipe
from features.store.shard import Shard
from features.store.store import FeatureStore
from features.store.verify import intact_sequences
from tests.features.conftest import digest_of, make_recipe, make_sequence

NAMES = [f"video-{number:02d}" for number in range(12)]
NAME_OF = {digest_of(name): name for name in NAMES}


def fill_store(
    root: Path,
    recipe: Recipe,
    names: Sequence[str] = NAMES,
    *,
    shard_bytes: int = 300,
    versions: dict[str, str] | None = None,
) -> list[Shard]:
    """A whole run over these videos; returns the store's shards, each once."""
    versions = versions or {"ffmpeg": "7"}
    with FeatureStore(root, recipe, versions=versions, shard_bytes=shard_bytes) as store:
        store.begin([make_sequence(name, recipe).key for name in names])
        for name in names:
            if not store.has(make_sequence(name, recipe).key):
                store.stage(make_sequence(name, recipe))
        store.finish()
        return list({shard.path: shard for shard in store.shards.values()}.values())


def publish_to(out: Path, shards: Sequence[Shard], recipe: Recipe | None = None) -> Path:
    """A published folder of these shards."""
    publish(out, shards, recipe or make_recipe(), dim=5, failures=[], provenance={"trained_on": {}})
    return out


def damage(path: Path, *flips: int, cut: int | None = None, linked: bool = False) -> None:
    """Flips a bit of these bytes and cuts the file off; by default, other links stay whole."""
    data = bytearray(path.read_bytes())
    for at in flips:
        data[at] ^= 1
    if linked:
        path.chmod(0o644)
    else:
        path.unlink()
    path.write_bytes(data[:cut])
    path.chmod(0o444)


def sealed(root: Path) -> list[Path]:
    """All shards of a store."""
    return sorted(root.glob("*/shards/*"))


def held(root: Path, recipe: Recipe) -> set[str]:
    """Names of `NAMES` whose every byte is in the store, sealed or staged."""
    found = set()
    for path in (*sealed(root), *root.glob("*/staging/*.h5")):
        try:
            shard = Shard(path)
        except Exception:  # noqa: BLE001, S112 - damaged: what it holds does not count
            continue
        for number in intact_sequences(shard) if shard.recipe == recipe else []:
            name = NAME_OF[shard.sha256s[number]]  # a path is under no checksum of its own
            wanted = make_sequence(name, recipe)
            assert shard.sequence(number).crc32() == wanted.crc32()
            assert shard.keys[number] == wanted.key
            found.add(name)
    return found
