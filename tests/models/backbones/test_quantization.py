"""int8: the scales are part of the backbone, which is kept and found again as a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import ConfigError, InputError, StoreError, ToolError
from models.backbones import quantization
from models.backbones.encoder import make_encoder
from models.backbones.fingerprint import copy_backbone, find_fingerprint
from models.backbones.quantization import quantize
from models.backbones.registry import Backbone, load_backbone, save_backbone
from tests import requirements


@pytest.fixture(scope="module")
def quantized(thin: Backbone, crops: NDArray[np.uint8]) -> Backbone:
    requirements.module("nncf")
    return quantize(thin, crops)


@pytest.fixture(scope="module")
def folder(quantized: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("quantized") / "weights"
    save_backbone(quantized, found)
    return found


def test_it_is_near_the_original_and_repeatable(
    thin: Backbone,
    quantized: Backbone,
    crops: NDArray[np.uint8],
    capsys: pytest.CaptureFixture[str],
) -> None:
    exact = make_encoder(thin, batch_size=4)(crops)
    found = make_encoder(quantized, batch_size=4, precision="int8")(crops)
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(found, axis=1)
    assert 0.98 < ((exact * found).sum(axis=1) / lengths).min() < 0.99999
    assert quantize(thin, crops).digest == quantized.digest
    assert capsys.readouterr().out == ""  # NNCF's own progress bars


def test_other_frames_give_other_scales_and_another_digest(
    thin: Backbone, quantized: Backbone, crops: NDArray[np.uint8]
) -> None:
    other = quantize(thin, crops // 4)
    assert len({thin.digest, quantized.digest, other.digest}) == 3


def test_a_folder_gives_it_back(quantized: Backbone, folder: Path, crops: NDArray) -> None:
    found = load_backbone(folder, size=quantized.size)
    assert (found.name, found.digest) == ("resnet50-thin-int8", quantized.digest)
    np.testing.assert_array_equal(
        make_encoder(found, batch_size=4, precision="int8")(crops),
        make_encoder(quantized, batch_size=4, precision="int8")(crops),
    )


def test_the_fingerprint_needs_no_network_and_copies_are_whole(
    quantized: Backbone, folder: Path, tmp_path: Path
) -> None:
    copy_backbone(folder, tmp_path / "copy")
    for place in (folder, tmp_path / "copy"):
        found = find_fingerprint(place, size=quantized.size, seed=0, cache=tmp_path / "none")
        assert found is not None
        assert found.quantized
        assert found.digest == quantized.digest


@pytest.mark.parametrize("name", ["network.bin", "network.xml"])
def test_a_changed_network_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    copy_backbone(folder, tmp_path / "copy")
    path = tmp_path / "copy" / name
    path.write_bytes(path.read_bytes() + b" ")
    size = json.loads((folder / "backbone.json").read_text())["size"]
    assert find_fingerprint(tmp_path / "copy", size=size, seed=0, cache=tmp_path / "none") is None
    with pytest.raises(StoreError, match=f"{name} are damaged or changed"):
        load_backbone(tmp_path / "copy", size=size)
    path.unlink()
    with pytest.raises(InputError, match=f"{name} are missing"):
        load_backbone(tmp_path / "copy", size=size)


def test_only_a_backbone_in_floating_point_is_quantized(
    quantized: Backbone, thin: Backbone, crops: NDArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="quantized already"):
        quantize(quantized, crops)
    with pytest.raises(ConfigError, match="the features' precision is float32"):
        make_encoder(quantized, batch_size=4)
    with pytest.raises(ConfigError, match="int8 is OpenVINO's"):
        make_encoder(quantized, batch_size=4, precision="int8", runtime="tensorflow")
    monkeypatch.setattr(quantization, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="pip install 'unmask\\[int8\\]'"):
        quantize(thin, crops)
