"""`unmask store inspect` and `verify`: what a folder of features holds, and whether it is whole."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import StoreError
from features.published import Features, verify


def inspect_features(folder: Path, *, as_json: bool) -> None:
    """Prints what a folder of features holds."""
    facts = describe(Features(folder))
    if as_json:
        print(json.dumps(facts, indent=2, sort_keys=True))
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for name, one in value.items():
                print(f"  {name:<18}{one}")
        else:
            print(f"{key:<20}{value}")


def describe(features: Features) -> dict[str, Any]:
    """Recipe, backbone, counts, sizes, versions and statistics, as plain JSON."""
    shards = features.shards
    counts = np.concatenate([np.diff(shard.offsets) for shard in shards]) if shards else np.zeros(1)
    recipe = features.recipe
    values = [shard.rows["features"] for shard in shards]
    total = sum(len(one) for one in values)
    mean = sum(one.astype(np.float64).sum() for one in values) / max(total * features.dim, 1)
    seen = sum(int(shard.rows["face_found"].sum()) for shard in shards)
    return {
        "folder": str(features.folder),
        "videos": len(features),
        "frames": int(total),
        "frames per video": f"{counts.min():.0f} to {counts.max():.0f}",
        "faces seen": f"{seen / max(total, 1):.1%} of frames",
        "failures": len(features.failures()),
        "shards": len(shards),
        "size_bytes": sum(int(entry["size_bytes"]) for entry in features.listed),
        "dim": features.dim,
        "mean": round(float(mean), 6),
        "largest": max((float(one.max()) for one in values), default=0.0),
        "dtype": recipe.dtype,
        "backbone": recipe.backbone,
        "backbone_digest": recipe.backbone_digest,
        "recipe_digest": recipe.digest,
        "face_detector": recipe.face_detector,
        "frames recipe": recipe.frames,
        "versions": shards[0].versions if shards else {},
        "trained on": {
            name: f"{len(part['sha256s'])} videos of {len(part['groups'])} groups"
            for name, part in features.provenance.get("trained_on", {}).items()
        },
    }


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
            f"{folder} is damaged in {len(problems)} places; remove the damaged shards and extract "
            "again: only their videos are embedded anew"
        )
    if not as_json:
        print(f"{folder}: whole")
