"""Exported files: face crops in, what unmask says out; by onnxruntime and NumPy alone."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from data.errors import VideoError
from data.faces.crops import read_frames
from data.faces.tracker import FaceFinder
from data.video.frames import FrameRecipe
from models.backbones.encoder import make_encoder
from models.backbones.registry import Backbone, load_backbone, save_backbone
from models.bundle import Bundle
from models.export.check import OnnxModel, judged_by_unmask, made_up, run
from models.export.network import network_of
from models.export.onnx_model import backbone_model, head_model, whole_model
from tests import footage, requirements
from tests.models.conftest import SIZE
from tests.models.export.bundles import bundle_of, head_of, made_up_novelty


@pytest.fixture(autouse=True)
def _needed() -> None:
    requirements.module("onnxruntime")


FACTS = {"version": "1.2", "bundle_sha256": "ab"}
ALONE = """
import sys
import numpy as np, onnxruntime
model, inputs, out = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
found = session.run(None, dict(np.load(inputs)))
np.savez(out, **dict(zip([one.name for one in session.get_outputs()], found)))
assert not {"tensorflow", "keras", "models", "onnx", "scipy"} & set(sys.modules)
"""


def trained_on(network: Backbone, frames: Any, mask: Any, **more: Any) -> Bundle:
    """A bundle whose head fits embeddings of these frames."""
    encoder = make_encoder(network, batch_size=8)
    present = np.concatenate([frames[mask], frames[mask][:7]])[: (mask.sum() + 7) // 8 * 8]
    found = np.concatenate(
        [encoder(present[at : at + 8]) for at in range(0, len(present), 8)]
    ).astype(np.float64)
    head = head_of("residual lstm", found)
    recipe = {
        "backbone": network.name,
        "backbone_digest": network.digest,
        "frames": {"size": network.size, "count": 8},
        "dtype": "float16",
    }
    novelty = made_up_novelty(found.mean(0), threshold=100.0)
    facts: dict[str, Any] = {"recipe": recipe, "backbone": network.name, "novelty": novelty}
    return bundle_of(head, network.dim, **(facts | more))


def assert_equal(bundle: Bundle, model: OnnxModel, frames: Any, mask: Any, encoder: Any) -> Any:
    told = judged_by_unmask(bundle, encoder, frames, mask)
    found = run(model, {"frames": frames, "mask": mask})
    np.testing.assert_allclose(
        found["probability_fake"], told["probability_fake"], atol=1e-4, rtol=0
    )
    # Logarithms and distances, of values whose float16 rounding may go either way.
    for name in set(told) - {"probability_fake"}:
        np.testing.assert_allclose(found[name], told[name], atol=1e-3, rtol=0, err_msg=name)
    return told


@pytest.fixture(scope="module")
def many() -> tuple[Any, Any]:
    return made_up(SIZE, count=200)


@pytest.fixture(scope="module")
def bundle(thin: Backbone, many: tuple[Any, Any]) -> Bundle:
    return trained_on(thin, many[0][:20], many[1][:20])


def test_two_hundred_sequences(bundle: Bundle, thin: Backbone, many: tuple[Any, Any]) -> None:
    model = whole_model(bundle, network_of(bundle), precision="float32", facts=FACTS)
    encoder = make_encoder(thin, runtime="tensorflow")
    told = assert_equal(bundle, model, *many, encoder)
    assert np.ptp(told["probability_fake"]) > 0.05


def test_float16_is_the_network_with_rounded_kernels(bundle: Bundle, many: tuple[Any, Any]) -> None:
    frames, mask = many
    model = whole_model(bundle, network_of(bundle), precision="float16", facts=FACTS)
    whole = whole_model(bundle, network_of(bundle), precision="float32", facts=FACTS)
    assert len(model.content) < 0.6 * len(whole.content)
    rounded = load_backbone("resnet50-thin", size=SIZE)
    for weight in rounded.model.weights:
        if weight.path.endswith("kernel"):
            weight.assign(weight.value.numpy().astype(np.float16).astype(np.float32))
    encoder = make_encoder(rounded, runtime="tensorflow")
    assert_equal(bundle, model, frames, mask, encoder)
    found = run(model, {"frames": frames, "mask": mask})["probability_fake"]
    exact = run(whole, {"frames": frames, "mask": mask})["probability_fake"]
    np.testing.assert_allclose(found, exact, atol=0.01, rtol=0)


def test_a_resnet50_with_its_normalisations(tmp_path: Path) -> None:
    frames, mask = made_up(SIZE, count=8)
    backbone = load_backbone("resnet50-random", size=SIZE)
    draw = np.random.default_rng(3)
    for weight in backbone.model.weights:  # those of a network that was trained are not 0 and 1
        if weight.path.rsplit("/", 1)[-1] in ("beta", "moving_mean", "bias"):
            weight.assign(draw.normal(0, 0.1, weight.shape))
    backbone = replace(backbone, digest="", provenance={"trained_on": {}}, name="own")
    backbone.model.save_weights(tmp_path / "own.weights.h5")
    backbone = load_backbone(tmp_path / "own.weights.h5", size=SIZE)
    save_backbone(backbone, tmp_path / "weights")
    bundle = trained_on(backbone, frames, mask, backbone=tmp_path / "weights")
    model = whole_model(bundle, network_of(bundle), precision="float32", facts=FACTS)
    encoder = make_encoder(backbone, runtime="tensorflow")
    assert_equal(bundle, model, frames, mask, encoder)


@pytest.mark.parametrize("size", [65, 68, 71])
def test_any_size_of_crops(size: int) -> None:
    frames, mask = made_up(size, count=3)
    backbone = load_backbone("resnet50-thin", size=size)
    bundle = trained_on(backbone, frames, mask)
    model = whole_model(bundle, network_of(bundle), precision="float32", facts=FACTS)
    assert_equal(bundle, model, frames, mask, make_encoder(backbone, runtime="tensorflow"))


def test_two_files_are_one(bundle: Bundle, many: tuple[Any, Any]) -> None:
    frames, mask = (one[:5] for one in many)
    network = network_of(bundle)
    first = backbone_model(bundle, network, precision="float32", facts=FACTS)
    second = head_model(bundle, network, precision="float32", facts=FACTS)
    whole = whole_model(bundle, network, precision="float32", facts=FACTS)
    embeddings = run(first, {"frames": frames.reshape(-1, SIZE, SIZE, 3)})["embeddings"]
    parts = run(second, {"embeddings": embeddings.reshape(*mask.shape, -1), "mask": mask})
    for name, one in run(whole, {"frames": frames, "mask": mask}).items():
        np.testing.assert_allclose(parts[name], one, atol=1e-4, rtol=0)


def test_what_is_where_the_mask_is_false_does_not_count(
    bundle: Bundle, many: tuple[Any, Any]
) -> None:
    frames, mask = (one[:6] for one in many)
    model = whole_model(bundle, network_of(bundle), precision="float32", facts=FACTS)
    blank = np.where(mask[..., None, None, None], frames, 0).astype(np.uint8)
    wanted = run(model, {"frames": frames, "mask": mask})
    for name, one in run(model, {"frames": blank, "mask": mask}).items():
        np.testing.assert_array_equal(one, wanted[name])


def test_onnxruntime_and_numpy_are_enough(
    bundle: Bundle, many: tuple[Any, Any], tmp_path: Path
) -> None:
    frames, mask = (one[:4] for one in many)
    model = whole_model(bundle, network_of(bundle), precision="float32", facts=FACTS)
    (tmp_path / "model.onnx").write_bytes(model.content)
    np.savez(tmp_path / "inputs.npz", frames=frames, mask=mask)
    names = [str(tmp_path / name) for name in ("model.onnx", "inputs.npz", "out.npz")]
    subprocess.run([sys.executable, "-c", ALONE, *names], check=True, cwd=tmp_path)
    wanted = run(model, {"frames": frames, "mask": mask})
    with np.load(tmp_path / "out.npz") as found:
        for name, one in wanted.items():
            np.testing.assert_allclose(found[name], one, atol=1e-6, rtol=0)


def test_the_example_in_the_docs(bundle: Bundle, tmp_path: Path) -> None:
    model = whole_model(bundle, network_of(bundle), precision="float32", facts=FACTS)
    (tmp_path / "model.onnx").write_bytes(model.content)
    text = (Path(__file__).parents[3] / "docs" / "export.md").read_text("utf-8")
    program = text.split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.endswith("\n0.5\n")
    assert all(f"`{name}`" in text for name in (*model.inputs, *model.outputs))


def test_what_the_file_says_of_itself(bundle: Bundle) -> None:
    model = whole_model(bundle, network_of(bundle), precision="float32", facts=FACTS)
    again = whole_model(bundle, network_of(bundle), precision="float32", facts=FACTS)
    assert model.content == again.content
    read = onnx.load_model_from_string(model.content)
    said = {one.key.removeprefix("unmask."): one.value for one in read.metadata_props}
    assert json.loads(said["labels"]) == {"0": "real", "1": "fake"}
    assert said["version"] == "1.2"
    assert said["bundle_sha256"] == "ab"
    assert float(said["threshold"]) == bundle.head.threshold
    assert json.loads(said["unsure"]) == [0.4, 0.6]
    assert json.loads(said["frames"]) == bundle.recipe["frames"]
    assert said["backbone_digest"] == bundle.recipe["backbone_digest"]
    assert int(said["size"]) == SIZE
    assert int(said["opset"]) == read.opset_import[0].version
    assert "BGR, minus [104.0, 117.0, 123.0]" in said["preprocessing"]
    shapes = [
        [part.dim_param or part.dim_value for part in one.type.tensor_type.shape.dim]
        for one in read.graph.input
    ]
    assert shapes == [["batch", "time", SIZE, SIZE, 3], ["batch", "time"]]


def test_no_tensorflow_where_the_weights_are_numbers(
    bundle: Bundle, thin: Backbone, tmp_path: Path
) -> None:
    backbone = load_backbone("resnet50-thin", size=SIZE)
    backbone.model.weights[-1].assign_add(backbone.model.weights[-1])
    backbone.model.save_weights(tmp_path / "own.weights.h5")
    own = load_backbone(tmp_path / "own.weights.h5", size=SIZE)
    save_backbone(own, tmp_path / "weights")
    recipe = bundle.recipe | {"backbone": own.name, "backbone_digest": own.digest}
    bundle.save(tmp_path / "public")
    replace(bundle, recipe=recipe, backbone=tmp_path / "weights").save(tmp_path / "own")
    program = (
        "import sys; from pathlib import Path; from models.bundle import Bundle\n"
        "from models.export.network import network_of\n"
        "for name in sys.argv[1:]: print(network_of(Bundle.load(Path(name))).dim)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    names = [str(tmp_path / name) for name in ("public", "own")]
    done = subprocess.run([sys.executable, "-c", program, *names], check=True, capture_output=True)
    assert done.stdout.split() == [b"1024", b"1024"]
    ours = network_of(Bundle.load(tmp_path / "own"))
    np.testing.assert_array_equal(
        ours.arrays["conv5_block3_3_conv/bias"], own.model.weights[-1].value.numpy()
    )


@pytest.mark.slow
def test_twenty_real_faces() -> None:
    folder = footage.faces()
    paths = sorted((folder / "real").glob("*.mp4"))[:40] + sorted((folder / "fake").glob("*.mp4"))
    recipe, finder = FrameRecipe(count=6, size=96, minimum_frames=2), FaceFinder()
    clips: list[Any] = []
    for path in paths[::3]:
        with suppress(VideoError):  # no face in six of its frames
            clips.append(read_frames(path, recipe, faces=finder).pixels)
        if len(clips) == 20:
            break
    mask = np.arange(6) < np.asarray([len(one) for one in clips])[:, None]
    frames = np.zeros((*mask.shape, 96, 96, 3), np.uint8)
    frames[mask] = np.concatenate(clips)
    assert len(clips) == 20
    backbone = load_backbone("resnet50-thin", size=96)
    bundle = trained_on(backbone, frames, mask)
    model = whole_model(bundle, network_of(bundle), precision="float32", facts=FACTS)
    encoder = make_encoder(backbone, runtime="tensorflow")
    told = assert_equal(bundle, model, frames, mask, encoder)
    assert np.ptp(told["probability_fake"]) > 0.02
