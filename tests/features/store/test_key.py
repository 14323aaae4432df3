"""Keys: what must invalidate features does, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from data.errors import ConfigError, StoreError
from features.store.key import PRECISIONS, Recipe, sequence_key
from tests.features.conftest import make_recipe


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": {"count": 9}},
        {"face_detector": None},
        {"face_detector": "1f" * 32},
        {"backbone_digest": "cd" * 32},
        {"dtype": "float32"},
        {"pixels_version": 2},
    ],
)
def test_what_changes_features_changes_the_key(changes: dict[str, Any]) -> None:
    assert make_recipe(**changes).digest != make_recipe().digest
    assert sequence_key("11" * 32, make_recipe(**changes)) != sequence_key("11" * 32, make_recipe())


def test_the_video_is_in_the_key() -> None:
    assert sequence_key("11" * 32, make_recipe()) != sequence_key("22" * 32, make_recipe())


def test_names_and_the_order_of_settings_do_not_count() -> None:
    recipe = make_recipe()
    turned = dict(reversed(recipe.frames.items()))
    assert make_recipe(frames=turned, backbone="other name").digest == recipe.digest


def test_digests_stay_what_they_are() -> None:
    """Another digest here would orphan every store that there is."""
    assert (
        make_recipe().digest == "0afd9e6304d584e0d0665d9cb0d113eac3f0abfe61481dea4c9d48346a70ccb7"
    )
    assert (
        sequence_key("11" * 32, make_recipe())
        == "80bcc0650c8ca1de8c50c92ff769d554546c0e47902513b98a7c0cf168b78678"
    )


def test_round_trip() -> None:
    recipe = make_recipe(dtype="float32")
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize("facts", [None, [], {"frames": {}}, make_recipe().to_json() | {"x": 1}])
def test_no_recipe_is_an_error_of_the_store(facts: Any) -> None:
    with pytest.raises(StoreError, match="not a recipe"):
        Recipe.from_json(facts)


@pytest.mark.parametrize("version", [0, -1, True, "2", 1.5, None])
def test_a_version_of_pixels_is_a_number_from_1_on(version: Any) -> None:
    with pytest.raises(StoreError, match="pixels_version must be 1 or more"):
        Recipe.from_json(make_recipe().to_json() | {"pixels_version": version})


def test_an_unknown_dtype_is_an_error_of_the_settings() -> None:
    with pytest.raises(ConfigError, match="must be float16, float32 or uint8, got 'float8'"):
        make_recipe(dtype="float8")


def test_each_precision_is_another_recipe_and_float32_says_nothing() -> None:
    recipes = [make_recipe(precision=one) for one in PRECISIONS]
    assert "precision" not in make_recipe().to_json()
    assert len({recipe.digest for recipe in recipes}) == len(PRECISIONS)
    for recipe in recipes:
        assert Recipe.from_json(recipe.to_json()) == recipe
    with pytest.raises(ConfigError, match=r"must be one of float32, .*, got 'half'"):
        make_recipe(precision="half")


def test_what_earlier_versions_called_mixed_is_float16_under_the_same_key() -> None:
    facts = make_recipe().to_json() | {"precision": "mixed"}
    recipe = Recipe.from_json(facts)
    assert recipe.precision == "float16"
    assert recipe.to_json() == facts
