"""Every reader of bundles, backbones and reports, and every damage; see `tests/data/damages.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError, StoreError
from data.io import reading
from models.backbones.registry import Backbone, load_backbone, save_backbone
from models.bundle import Bundle
from models.tf_runtime import keras
from pipeline.evaluation.compare import read_scores
from tests.data.damages import DAMAGES, check, check_all, check_forms
from tests.models.conftest import SIZE
from tests.models.test_bundle import bundle as bundle  # a fixture


@pytest.fixture(autouse=True)
def _lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of 2 MiB is too large."""
    monkeypatch.setattr(reading, "MAX_BYTES", 1 << 20)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads are not built: what is read is the record."""
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: object())


def test_record_of_a_bundle(bundle: Bundle, tmp_path: Path, quick: None) -> None:
    def make(folder: Path) -> Path:
        bundle.save(folder / "bundle")
        return folder / "bundle" / "bundle.json"

    messages = check_all(make, lambda path: Bundle.load(path.parent), tmp_path)
    assert "is it the right folder" in messages["gone"]
    assert messages["a mark"] == messages["UTF-16"] == ""
    path = make(tmp_path)
    check_forms(lambda: Bundle.load(path.parent), path)


def test_a_wrong_type_is_told_with_its_place(bundle: Bundle, tmp_path: Path, quick: None) -> None:
    bundle.save(tmp_path / "bundle")
    path = tmp_path / "bundle" / "bundle.json"
    facts = json.loads(path.read_text())
    facts["head"]["history"][0]["epoch"] = "first"
    path.write_text(json.dumps(facts))
    with pytest.raises(
        StoreError, match=r"bundle\.json is damaged: head\.history\.0\.epoch: .*anew"
    ):
        Bundle.load(tmp_path / "bundle")


def test_head_of_a_bundle(bundle: Bundle, tmp_path: Path) -> None:
    def make(folder: Path) -> Path:
        bundle.save(folder / "bundle")
        return folder / "bundle" / "head.keras"

    messages = check_all(make, lambda path: Bundle.load(path.parent), tmp_path)
    assert "its sha256 is not the one" in messages["one byte"]


@pytest.fixture(scope="module")
def small() -> Any:
    """A custom backbone of two layers."""
    inputs = keras.Input((SIZE, SIZE, 3))
    outputs = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, outputs)


def test_custom_backbone(small: Any, tmp_path: Path) -> None:
    def make(folder: Path) -> Path:
        small.save(folder / "own.keras")
        return folder / "own.keras"

    check_all(make, lambda path: load_backbone(path, size=SIZE), tmp_path)


def test_a_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    keras.Sequential([keras.layers.Flatten()]).save(tmp_path / "flat.keras")
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "dense.keras")
    one, other = keras.Input((SIZE, SIZE, 3)), keras.Input((SIZE, SIZE, 3))
    added = keras.layers.Add()([one, other])
    keras.Model([one, other], added).save(tmp_path / "two.keras")
    for name in ("flat", "dense", "two"):
        path = tmp_path / f"{name}.keras"
        assert check(lambda: load_backbone(path, size=SIZE), path, name)  # noqa: B023


def test_a_model_with_code_in_it_is_refused(tmp_path: Path) -> None:
    """Keras's safe mode stays on: a `Lambda` layer of a stranger's file is never run."""
    inputs = keras.Input((SIZE, SIZE, 3))
    mean = keras.layers.Lambda(lambda x: x[:, 0, 0, :])(inputs)
    keras.Model(inputs, mean).save(tmp_path / "code.keras")
    with pytest.raises(InputError, match=r"code\.keras is not a Keras model"):
        load_backbone(tmp_path / "code.keras", size=SIZE)


def test_weights(thin: Backbone, tmp_path: Path) -> None:
    """Few: each takes a second, and HDF5 itself may end the process over a flipped bit."""

    def make(folder: Path) -> Path:
        thin.model.save_weights(folder / "own.weights.h5")
        return folder / "own.weights.h5"

    tried = {"empty", "cut in half", "one byte short", "noise", "an HTML page", "a pipe",
             "a folder", "a device"}  # fmt: skip
    read = lambda path: load_backbone(path, size=SIZE)  # noqa: E731
    check_all(make, read, tmp_path, but=DAMAGES.keys() - tried)


def test_folder_of_weights(thin: Backbone, tmp_path: Path) -> None:
    def weights(folder: Path) -> Path:
        save_backbone(thin, folder / "backbone")
        return folder / "backbone" / "backbone.safetensors"

    def read(path: Path) -> Any:
        return load_backbone(path.parent, size=SIZE)

    tried = {"flipped 1", "empty", "a pipe", "a folder", "gone"}
    messages = check_all(weights, read, tmp_path, but=DAMAGES.keys() - tried)
    assert "damaged or changed; write them anew" in messages["flipped 1"]
    assert "are missing" in messages["gone"]


def test_record_of_weights(small: Any, tmp_path: Path) -> None:
    def make(folder: Path) -> Path:
        small.save(folder / "own.keras")
        save_backbone(load_backbone(folder / "own.keras", size=SIZE), folder / "backbone")
        return folder / "backbone" / "backbone.json"

    def read(path: Path) -> Any:
        return load_backbone(path.parent, size=SIZE)

    check_all(make, read, tmp_path)
    path = make(tmp_path)
    check_forms(lambda: read(path), path, named=path.parent)


METRICS = {"lstm": {"threshold": 0.5}, "seen_in_training": ""}
SCORES = "path,label,group,method,lstm\na.mp4,real,a,real,0.25\nb.mp4,fake,b,swap,0.75\n"


def report(folder: Path) -> Path:
    (folder / "report").mkdir()
    (folder / "report" / "metrics.json").write_text(json.dumps(METRICS))
    (folder / "report" / "predictions.csv").write_text(SCORES)
    return folder / "report"


def test_scores_of_a_report(tmp_path: Path) -> None:
    def read(path: Path) -> Any:
        return read_scores(path.parent, None)

    for name in ("predictions.csv", "metrics.json"):
        (tmp_path / name).mkdir()
        messages = check_all(lambda folder: report(folder) / name, read, tmp_path / name,  # noqa: B023
                         but={"gone", "a broken link"})  # fmt: skip
        assert messages["UTF-16"] == messages["a mark"] == ""
    folder = report(tmp_path)
    check_forms(lambda: read_scores(folder, None), folder / "metrics.json")
    for number, name in enumerate(("path", "label", "group", "method", "lstm")):
        for value in ("", "x", "nan", "inf", "1,5", "9" * 400, "\0"):
            cells = ["a.mp4", "real", "a", "real", "0.25"]
            cells[number] = f'"{value}"'
            path = folder / "predictions.csv"
            path.write_text(SCORES.splitlines()[0] + "\n" + ",".join(cells) + "\n")
            check(lambda: read_scores(folder, None), path, f"{name} = {value!r:.20}")
    with pytest.raises(InputError, match="holds no report"):
        read_scores(tmp_path / "nowhere", None)
