"""`unmask store inspect`, `diff`, `verify`: what folders of features hold, and if it is whole."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import StoreError, plain
from features.store.feature_set import FAILURES, Features, verify
from features.store.key import Recipe
from features.store.layout import INDEX, parts_of, sealed_in, staged_in
from features.store.shard import Shard
from features.store.verify import Problem
from features.upkeep.diff import compare
from features.upkeep.statistics import statistics
from pipeline.leakage import SEEN_IN_VALIDATION
from pipeline.shell_commands import command_line


def inspect_features(folder: Path, *, as_json: bool) -> None:
    """Prints what a folder of features holds, or each recipe of a working store.

    As JSON it has every dimension's statistics, for people their spread.
    """
    if (folder / INDEX).exists() or not folder.is_dir():
        facts = describe(Features(folder), each=as_json)
    else:
        recipes = [describe_part(part, each=as_json) for part in parts_of(folder)]
        facts = {
            "folder": str(folder),
            "videos": sum(one["videos"] for one in recipes),
            "size_bytes": sum(one["size_bytes"] for one in recipes),
            "recipes": recipes,
        }
    if as_json:
        print(json.dumps(facts, indent=2, sort_keys=True))
    else:
        _tell(facts)


def _tell(facts: dict[str, Any], indent: str = "") -> None:
    """Prints facts as lines, what belongs to one of them below it."""
    for key, value in facts.items():
        if isinstance(value, dict):
            print(f"{indent}{key}:")
            _tell(value, indent + "  ")
        elif isinstance(value, list):
            for one in value:
                print()
                _tell(one, indent)
        else:
            shown = f"{value:.6g}" if isinstance(value, float) else value
            print(f"{indent}{key:<{20 - len(indent)}}{shown}")


def describe(features: Features, *, each: bool = False) -> dict[str, Any]:
    """Recipe, backbone, counts, sizes, versions and statistics, as plain JSON."""
    facts = {"folder": str(features.folder)} | describe_shards(
        features.shards, features.recipe, each=each
    )
    return facts | {
        "videos": len(features),
        "views": features.views.count,
        "augmented views": features.augmented,
        "failures": len(features.failures()),
        "dim": features.dim,
        "trained on": {
            name: f"{len(part['sha256s'])} videos of {len(part['groups'])} groups"
            for name, part in features.provenance.get("trained_on", {}).items()
        },
        **({"mind": str(mark)} if (mark := features.provenance.get(SEEN_IN_VALIDATION)) else {}),
    }


def describe_part(part: Path, *, each: bool = False) -> dict[str, Any]:
    """The same of one recipe's part of a working store."""
    shards = []
    for path in sealed_in(part):
        with contextlib.suppress(StoreError):  # `verify` tells of it
            shards.append(Shard(path))
    staged = staged_in(part)
    unreadable = len(sealed_in(part)) - len(shards)
    facts: dict[str, Any] = {"folder": str(part)}
    if shards:
        facts |= describe_shards(shards, shards[0].recipe, each=each)
    else:
        facts |= {"videos": 0, "size_bytes": 0}
    return facts | {"staged videos": len(staged), "unreadable shards": unreadable}


def describe_shards(
    shards: Sequence[Shard], recipe: Recipe, *, each: bool = False
) -> dict[str, Any]:
    """Counts, sizes, statistics and recipe of shards of one recipe; videos count once.

    Args:
        shards: each once.
        recipe: of all of them.
        each: tell every dimension's statistics, too.
    """
    counts = np.concatenate([np.diff(shard.offsets) for shard in shards] or [np.zeros(1, int)])
    frames = int(counts.sum())
    seen = sum(int(shard.rows["face_found"].sum()) for shard in shards)
    numbers = statistics(shard.rows["features"] for shard in shards)
    return {
        "videos": len({key for shard in shards for key in shard.keys}),
        "frames": frames,
        "frames per video": f"{counts.min():.0f} to {counts.max():.0f}",
        "faces seen": f"{seen / max(frames, 1):.1%} of frames",
        "shards": len(shards),
        "size_bytes": sum(shard.path.stat().st_size for shard in shards),
        "dim": shards[0].dim if shards else 0,
        "mean": float(numbers.mean.mean()) if numbers else 0.0,
        "largest": float(numbers.largest.max()) if numbers else 0.0,
        "dimensions": numbers.to_json() if numbers else {},
        **({"each_dimension": numbers.each()} if numbers and each else {}),
        "dtype": recipe.dtype,
        "backbone": recipe.backbone,
        "backbone_digest": recipe.backbone_digest,
        "recipe_digest": recipe.digest,
        "pixels_version": recipe.pixels_version,
        "face_detector": recipe.face_detector,
        "frames recipe": recipe.frames,
        "versions": _all_versions(shards),
    }


def _all_versions(shards: Sequence[Shard]) -> dict[str, str]:
    """Of the programs that made them; several, where runs were by several."""
    found: dict[str, set[str]] = {}
    for shard in shards:
        for name, version in shard.versions.items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def diff_features(a: Path, b: Path, *, most: int, as_json: bool) -> None:
    """`unmask store diff`: prints what two folders of features have in common, and what not."""
    one, other = Features(a), Features(b)
    told = compare(one, other)
    if as_json:
        facts = {"a": str(a), "b": str(b)} | asdict(told) | {"summary": told.summary()}
        print(json.dumps(_without_nan(facts), indent=2))
        return
    print(f"{told.common} videos in both, {len(told.only_a)} only in {a}, ", end="")
    print(f"{len(told.only_b)} only in {b}")
    for mark, paths in (("a", told.only_a), ("b", told.only_b)):
        for path in paths[:most]:
            print(plain(f"  only in {mark}: {path}"))
    for name, (left, right) in told.recipe.items():
        print(f"recipe {name}: {left} | {right}")
    if told.common and one.dim != other.dim:
        print(f"embeddings of {one.dim} and of {other.dim} numbers cannot be compared")
    for name, spread in told.summary().items():
        numbers = ", ".join(f"{key} {value:.4f}" for key, value in spread.items())
        print(f"{name.replace('_', ' '):<16}{numbers}")
    for change in told.changes[:most]:
        print(
            f"  {change.path}: mean embedding: cosine {change.mean_cosine:.4f}, "
            f"distance {change.mean_distance:.4f}; {change.frames} frames: "
            f"cosine {change.frame_cosine:.4f}, distance {change.frame_distance:.4f}"
        )


def _without_nan(facts: Any) -> Any:
    """JSON has no NaN: null says that there was nothing to measure."""
    if isinstance(facts, dict):
        return {key: _without_nan(value) for key, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [_without_nan(value) for value in facts]
    return None if isinstance(facts, float) and math.isnan(facts) else facts


def verify_features(folder: Path, *, as_json: bool) -> None:
    """Reads every byte and prints all damage.

    Raises:
        StoreError: there is some.
    """
    problems = verify(folder)
    if as_json:
        print(json.dumps([asdict(problem) for problem in problems], indent=2))
    else:
        for problem in problems:
            print(f"{problem.file}: {problem.problem}: {problem.message}")
    if problems:
        raise StoreError(
            f"{folder} is damaged in {len(problems)} places; {_advice(folder, problems)}"
        )
    if not as_json:
        print(plain(f"{folder}: whole"))


def _advice(folder: Path, problems: Sequence[Problem]) -> str:
    """What to do about these problems."""
    strange = {one.file for one in problems if one.problem in ("later", "foreign", "unlisted")}
    if any(problem.file in (INDEX, FAILURES) for problem in problems):
        return "extract again: only what is missing is embedded anew"
    if all(problem.file in strange for problem in problems):
        if any(problem.problem == "later" for problem in problems):
            return "use a later unmask"
        return "move what does not belong there to where it does, or extract again"
    return (
        f"run `{command_line('unmask', 'store', 'repair', folder)}`: it keeps what is intact and "
        "lists what the next `unmask extract` embeds anew"
    )
