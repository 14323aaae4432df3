"""The model card that `unmask train` writes into a bundle."""

from __future__ import annotations

import yaml

from models.bundle import Bundle
from tests.pipeline.conftest import World


def test_train_writes_the_card(world: World) -> None:
    text = (world.bundle / "README.md").read_text()
    facts = yaml.safe_load(text.split("---\n", 2)[1])
    assert facts["library_name"] == "unmask"
    (result,) = facts["model-index"][0]["results"]
    best = Bundle.load(world.bundle).head.best["val_auc"]
    assert result["dataset"]["split"] == "validation"
    assert result["metrics"][0]["value"] == round(best, 6)
    assert "unmask predict BUNDLE video.mp4" in text
