"""Augmented views through the commands: of training videos alone, for training alone."""

from __future__ import annotations

import json

from data.datasets.manifest import Manifest
from features.store.feature_set import Features
from tests.pipeline.conftest import SMALL


def test_training_videos_get_views_and_nothing_else_sees_them(world, run, tmp_path):
    out, bundle = tmp_path / "features", tmp_path / "bundle"
    extract = ("extract", world.manifest, "--root", world.demo, "-o", out, "--store", world.store,
               *SMALL, "--set", "frames.views=2")  # fmt: skip
    manifest = Manifest.read(world.manifest)
    learnt = len(manifest.split("train"))
    told = run(*extract).output
    assert f"{learnt} videos done, {24 - learnt} reused, 0 failed" in told
    assert f"{learnt} augmented views made" in told
    assert "0 videos done, 24 reused" in run(*extract).output
    facts = json.loads(run("store", "inspect", out, "--json").output)
    assert (facts["videos"], facts["augmented views"]) == (24, learnt)
    assert "no damage" in run("store", "verify", out).output

    # The videos' own features are the same shard as without views.
    with_views, without = Features(out), Features(world.features)
    shards, more = ({one.path.name for one in it.shards} for it in (without, with_views))
    assert shards < more
    assert with_views.recipe == without.recipe
    assert set(with_views.sha256s) == set(without.sha256s)

    told = run("train", out, "--manifest", world.manifest, "-o", bundle, *SMALL,
               "--set", "head.kind=mean", "--set", "train.epochs=2").output  # fmt: skip
    assert "2 views of each training video, one drawn in each epoch" in told
    scores = []
    for features in (world.features, out):
        report = tmp_path / f"report-{features.parent.name}"
        run("evaluate", bundle, features, "--manifest", world.manifest, "-o", report,
            "--set", "evaluate.rounds=20")  # fmt: skip
        scores.append((report / "predictions.csv").read_bytes())
    assert scores[0] == scores[1]
