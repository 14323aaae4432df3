"""A backbone's digest: what changes an embedding changes it, and it outlives all else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import MismatchError, StoreError
from models.backbones import open_nsfw as thin_module
from models.backbones import resnet50 as backbone_module
from models.backbones.network_digest import weights_digest
from models.backbones.open_nsfw import build_thin
from models.backbones.preprocessing import CaffeInput
from models.backbones.registry import Backbone, load_backbone, save_backbone
from models.backbones.resnet50 import build_resnet50
from models.bundle import Bundle
from models.tf_runtime import keras
from tests.models.conftest import SIZE

NETWORKS = [("resnet50", build_resnet50), ("resnet50-thin", build_thin)]


def digest_of(architecture: str, build: Callable[[int], Any]) -> str:
    """The digest of a network whose every weight is 0."""
    model = build(32)
    model.set_weights([np.zeros_like(value) for value in model.get_weights()])
    return weights_digest(architecture, model)


def unscaled(self: CaffeInput, frames: Any) -> Any:
    """RGB stays RGB."""
    return keras.ops.cast(frames, self.compute_dtype) - keras.ops.convert_to_tensor(
        self.mean_bgr, dtype=self.compute_dtype
    )


@pytest.mark.parametrize(("architecture", "build"), NETWORKS)
def test_the_mean_and_the_order_of_channels_count(
    architecture: str, build: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest_of(architecture, build)
    assert digest_of(architecture, build) == before
    with monkeypatch.context() as patch:
        for module in (backbone_module, thin_module):
            patch.setattr(module, "MEAN_BGR", (103.0, 117.0, 123.0))
        assert digest_of(architecture, build) != before
    with monkeypatch.context() as patch:
        patch.setattr(CaffeInput, "call", unscaled)
        assert digest_of(architecture, build) != before
    assert digest_of(architecture, build) == before


def test_a_changed_layer_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stride of a stage in its second convolution: the same weights, another network."""
    before = digest_of("resnet50-thin", build_thin)
    monkeypatch.setattr(thin_module, "STAGES", ((32, 3), (64, 4), (128, 6), (256, 3)))
    assert digest_of("resnet50-thin", build_thin) == before
    made = thin_module._block
    monkeypatch.setattr(
        thin_module,
        "_block",
        lambda x, width, stride, **more: made(x, width, 1, **more),
    )
    assert digest_of("resnet50-thin", build_thin) != before


def test_a_custom_network_with_our_preprocessing_counts_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inputs = keras.Input((SIZE, SIZE, 3))
    x = CaffeInput(mean_bgr=(1.0, 2.0, 3.0))(inputs)
    keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(x)).save(tmp_path / "own.keras")
    before = load_backbone(tmp_path / "own.keras", size=SIZE).digest
    monkeypatch.setattr(CaffeInput, "call", unscaled)
    assert load_backbone(tmp_path / "own.keras", size=SIZE).digest != before


def test_weights_written_for_another_preprocessing_are_not_called_damaged(
    thin: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_backbone(thin, tmp_path / "weights")
    monkeypatch.setattr(thin_module, "MEAN_BGR", (0.0, 0.0, 0.0))
    with pytest.raises(StoreError, match=r"whole, but .* another preprocessing .* fine-tune anew"):
        load_backbone(tmp_path / "weights", size=SIZE)


def test_a_bundle_of_another_preprocessing_says_what_to_do(
    thin: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {"backbone": thin.name, "backbone_digest": thin.digest, "frames": {"size": SIZE}}
    bundle = Bundle(
        head=None,  # type: ignore[arg-type]
        baseline=None,
        recipe=recipe,
        dim=thin.dim,
        trained_on={},
        provenance={},
        backbone="resnet50-thin",
    )
    assert bundle.load_backbone().digest == thin.digest
    monkeypatch.setattr(thin_module, "MEAN_BGR", (0.0, 0.0, 0.0))
    with pytest.raises(MismatchError, match="train the bundle anew"):
        bundle.load_backbone()
