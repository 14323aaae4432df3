"""Bundles: what comes back is what went in, and nothing else is taken for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import InputError, MismatchError, OutputError, StoreError
from models.applicability.novelty_fit import fit_novelty
from models.backbones.registry import Backbone, load_backbone, save_backbone
from models.bundle import Bundle, BundledHead
from models.configs import HeadConfig, TrainConfig
from models.evaluation.baselines import Linear
from models.evaluation.calibration import Calibration
from models.evaluation.likelihood_ratio import LikelihoodRatio
from models.heads.training import train_head
from models.records import VERSION
from tests.models.conftest import SIZE, made_up


def recipe_of(backbone: Backbone) -> dict[str, Any]:
    return {
        "backbone": backbone.name,
        "backbone_digest": backbone.digest,
        "frames": {"size": SIZE, "count": 6},
        "dtype": "float16",
    }


def train_bundle(backbone: Backbone) -> Bundle:
    heads = [
        train_head(
            made_up(20),
            made_up(10, seed=1),
            head=HeadConfig(kind=kind, units=4),
            config=TrainConfig(epochs=2),
        )
        for kind in ("lstm", "mean")
    ]
    return Bundle(
        head=BundledHead(**vars(heads[0]), threshold=0.4),
        baseline=BundledHead(**vars(heads[1]), threshold=0.6),
        recipe=recipe_of(backbone),
        dim=8,
        trained_on={"train": {"sha256s": ["a"], "groups": ["g"]}, "val": {}},
        provenance={},
        backbone=backbone.name,
    )


@pytest.fixture(scope="module")
def bundle(thin: Backbone) -> Bundle:
    return train_bundle(thin)


def test_likelihood_ratio_and_novelty_come_back(bundle: Bundle, tmp_path: Path) -> None:
    ratio = LikelihoodRatio(
        slope=0.4, intercept=0.1, lower=-1.2, upper=1.0, draws=((0.3, 0.0, -1.0, 0.9),),
        videos=40, groups=20, methods=3, cllr=0.7,
    )  # fmt: skip
    means = np.random.default_rng(0).standard_normal((30, 8))
    novelty = fit_novelty(means[:20], means[20:], [f"p{n}" for n in range(30)], share=0.05)
    assert novelty is not None
    novelty = novelty.novelty
    head = replace(bundle.head, likelihood_ratio=ratio)
    replace(bundle, head=head, novelty=novelty).save(tmp_path / "bundle")
    read = Bundle.load(tmp_path / "bundle")
    assert read.head.likelihood_ratio == ratio
    assert read.baseline is not None
    assert read.baseline.likelihood_ratio is None
    assert read.novelty is not None
    np.testing.assert_array_equal(read.novelty.distance(means), novelty.distance(means))
    with (tmp_path / "bundle" / "novelty.npy").open("ab") as file:
        file.write(b"!")
    with pytest.raises(StoreError, match="damaged"):
        Bundle.load(tmp_path / "bundle")


def test_comes_back_whole(bundle: Bundle, thin: Backbone, tmp_path: Path) -> None:
    bundle.save(tmp_path / "bundle")
    names = sorted(path.name for path in (tmp_path / "bundle").iterdir())
    assert names == ["baseline.keras", "baseline.safetensors", "bundle.json", "head.keras",
                     "head.safetensors", "history.csv", "validation.json"]  # fmt: skip
    again, videos = Bundle.load(tmp_path / "bundle"), made_up(7, seed=2)
    np.testing.assert_array_equal(again.score(videos), bundle.score(videos))
    np.testing.assert_array_equal(
        again.score(videos, baseline=True), bundle.score(videos, baseline=True)
    )
    assert np.any(again.score(videos, baseline=True) != again.score(videos))
    for one, two in ((again.head, bundle.head), (again.baseline, bundle.baseline)):
        assert one is not None
        assert two is not None
        assert replace(one, model=None) == replace(two, model=None)
    assert again.recipe == bundle.recipe
    assert again.trained_on == bundle.trained_on
    assert again.versions is not None
    assert again.versions["tensorflow"].startswith("2.")
    assert again.load_backbone().digest == thin.digest


def test_same_training_same_bytes(thin: Backbone, tmp_path: Path) -> None:
    train_bundle(thin).save(tmp_path / "one")
    train_bundle(thin).save(tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_carries_weights_that_nobody_else_has(bundle: Bundle, tmp_path: Path) -> None:
    own = load_backbone("resnet50-thin", size=SIZE)
    own.model.weights[-1].assign_add(own.model.weights[-1] + 1.0)
    own.model.save_weights(tmp_path / "own.weights.h5")
    own = load_backbone(tmp_path / "own.weights.h5", size=SIZE)
    save_backbone(replace(own, provenance={"train": {"groups": ["g"]}}), tmp_path / "weights")
    carrying = replace(bundle, recipe=recipe_of(own), backbone=tmp_path / "weights")
    carrying.save(tmp_path / "bundle")
    for path in (tmp_path / "weights").iterdir():
        path.unlink()
    found = Bundle.load(tmp_path / "bundle").load_backbone()
    assert found.digest == own.digest
    assert found.provenance == {"train": {"groups": ["g"]}}


def test_an_exported_public_backbone_is_not_copied(
    bundle: Bundle, thin: Backbone, tmp_path: Path
) -> None:
    save_backbone(thin, tmp_path / "weights")
    replace(bundle, backbone=tmp_path / "weights").save(tmp_path / "bundle")
    assert not (tmp_path / "bundle" / "backbone").exists()
    assert Bundle.load(tmp_path / "bundle").backbone == "resnet50-thin"


def test_refuses_features_of_another_backbone(bundle: Bundle) -> None:
    bundle.check_recipe({**bundle.recipe, "backbone": "renamed"})
    other = {**bundle.recipe, "backbone": "resnet50-imagenet", "backbone_digest": "f" * 64}
    with pytest.raises(
        MismatchError, match=r"resnet50-thin \(.*resnet50-imagenet \(ffffffffffff\)"
    ):
        bundle.check_recipe(other)
    with pytest.raises(MismatchError, match="length 8, got 9"):
        bundle.score(made_up(4, dim=9))


def test_refuses_features_of_other_frames(bundle: Bundle) -> None:
    other = {**bundle.recipe, "frames": {"size": SIZE, "count": 32}}
    with pytest.raises(MismatchError, match=r"frames\.count \(bundle 6, features 32\)"):
        bundle.check_recipe(other)


def test_refuses_a_wrong_backbone(bundle: Bundle, tmp_path: Path) -> None:
    save_backbone(load_backbone("resnet50-random", size=SIZE), tmp_path / "weights")
    with pytest.raises(MismatchError, match=r"resnet50-thin .* holds resnet50-random"):
        replace(bundle, backbone=tmp_path / "weights").save(tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_damage_is_told(bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    bundle.save(folder)
    facts = json.loads((folder / "bundle.json").read_text())

    def with_facts(**changed: Any) -> None:
        (folder / "bundle.json").write_text(json.dumps({**facts, **changed}))

    with_facts(version=VERSION + 1)
    with pytest.raises(StoreError, match="later unmask"):
        Bundle.load(folder)
    with_facts(format="unmask-backbone")
    with pytest.raises(StoreError, match="not of the format"):
        Bundle.load(folder)
    with_facts(head={})
    with pytest.raises(StoreError, match="damaged"):
        Bundle.load(folder)
    (folder / "bundle.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        Bundle.load(folder)
    with_facts()
    with (folder / "head.keras").open("r+b") as file:
        file.seek(500)
        file.write(b"\xff")
    with pytest.raises(StoreError, match="sha256"):
        Bundle.load(folder)
    (folder / "head.keras").unlink()
    with pytest.raises(StoreError, match="lacks"):
        Bundle.load(folder)
    with pytest.raises(InputError, match=r"no bundle\.json"):
        Bundle.load(tmp_path)
    with pytest.raises(InputError, match=r"no bundle\.json"):
        Bundle.load(tmp_path / "nowhere")


def test_a_failed_save_keeps_the_old_bundle(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    bundle.save(folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("models.bundle.write_json", full)
    with pytest.raises(OutputError, match="No space left"):
        bundle.save(folder)
    monkeypatch.undo()
    assert Bundle.load(folder).head.threshold == 0.4
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_of_version_1_is_read_and_judges_as_it_did(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "bundle")
    facts = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    del facts["controls"]
    for name in ("head", "baseline"):
        del facts[name]["calibration"]
    (tmp_path / "bundle" / "bundle.json").write_text(json.dumps({**facts, "version": 1}))
    old, videos = Bundle.load(tmp_path / "bundle"), made_up(7, seed=2)
    np.testing.assert_array_equal(old.score(videos), bundle.score(videos))
    assert old.head.calibration.verdict(0.4, old.head.threshold) == "FAKE"


def test_calibrated_scores_come_back(bundle: Bundle, tmp_path: Path) -> None:
    warm = Calibration(method="temperature", temperature=2.0, unsure_low=0.4, unsure_high=0.5)
    mean = Linear(mean=(0.0,), scale=(1.0,), weight=(2.0,), bias=0.5, threshold=0.5)
    held = replace(
        bundle, head=replace(bundle.head, calibration=warm), linear_baselines={"metadata": mean}
    )
    held.save(tmp_path / "bundle")
    again, videos = Bundle.load(tmp_path / "bundle"), made_up(7, seed=2)
    assert again.head.calibration == warm
    assert again.linear_baselines == {"metadata": mean}
    np.testing.assert_array_equal(again.score(videos), warm.apply(bundle.score(videos)))


def test_a_bundle_from_before_conditioning_has_none(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "bundle")
    record = tmp_path / "bundle" / "bundle.json"
    facts = json.loads(record.read_text())
    del facts["head"]["config"]["condition"]
    record.write_text(json.dumps(facts))
    assert Bundle.load(tmp_path / "bundle").head.config == bundle.head.config
