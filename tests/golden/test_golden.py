"""Pixels and embeddings are those that were recorded for this pixels version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import data.faces.crops
import data.video.frames
import data.video.picture
from data.faces.tracker import FaceFinder
from data.faces.tracks import FaceTrack
from data.pixels_version import PIXELS_VERSION
from tests.golden.golden import (
    CASES,
    EMBEDDED,
    differences,
    load_golden,
    make_crops,
    make_embeddings,
    make_view,
    path_of,
)
from tests.golden.record import record

REMEDY = (
    "pixels or embeddings are not what they were under this version: every stored feature would "
    "be of another make under the same key. Raise PIXELS_VERSION in data/pixels_version.py, then "
    "python -m tests.golden.record"
)


def test_this_version_is_recorded() -> None:
    assert path_of().is_file(), (
        f"pixels version {PIXELS_VERSION} has no record: python -m tests.golden.record"
    )
    assert path_of().stat().st_size < 200_000
    names = {f"{name} {what}" for name in CASES for what in ("crops", "boxes", "seconds")}
    assert names < load_golden().keys()


def test_crops_are_as_recorded() -> None:
    assert differences(make_crops(), load_golden()) == [], REMEDY


@pytest.mark.parametrize("version", [2, 3])
def test_faces_are_where_earlier_versions_found_them(version: int) -> None:
    before, now = load_golden(version), load_golden()
    for name in ("uniform", "runs", "turned"):
        boxes = before[f"{name} boxes"]
        sides = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
        assert (np.abs(now[f"{name} boxes"] - boxes) <= 0.02 * sides).all(), name


def test_embeddings_are_as_recorded() -> None:
    golden = load_golden()
    made = make_embeddings(golden[f"{EMBEDDED} crops"])
    assert differences(made, golden) == [], REMEDY


def test_bfloat16_is_near_what_was_recorded_in_float32() -> None:
    """Another rounding, not another network: 0.01 apart by AMX and by AVX-512."""
    golden = load_golden()
    made = make_embeddings(golden[f"{EMBEDDED} crops"], precision="bfloat16")
    for name, found in made.items():
        apart = np.linalg.norm(found - golden[name], axis=1)
        assert (apart < 0.03 * np.linalg.norm(golden[name], axis=1)).all(), name


def test_an_augmented_view_is_as_recorded() -> None:
    golden = load_golden()
    assert differences(make_view(golden), golden) == [], (
        "raise VERSION in models/finetuning/views.py, then python -m tests.golden.record --replace"
    )


def test_another_augmentation_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.finetuning import views

    golden = load_golden()
    monkeypatch.setattr(views, "STRENGTH", views.STRENGTH.replace(noise=views.STRENGTH.noise + 4))
    assert differences(make_view(golden), golden) != []
    monkeypatch.setattr(views, "VERSION", views.VERSION + 1)
    (line,) = differences(make_view(golden), golden)
    assert line.endswith("not recorded")


class Off(FaceFinder):
    """Finds every face one pixel to the right."""

    def follow(
        self, frames: NDArray[np.uint8], timestamps_seconds: NDArray[np.float64]
    ) -> FaceTrack:
        found = super().follow(frames, timestamps_seconds)
        return replace(found, boxes=found.boxes + np.float32([1, 0, 1, 0]))


def crop_off(patch: pytest.MonkeyPatch) -> None:
    """Pixels of one place under the box of another."""
    made = data.faces.crops.crop_faces

    def off(frames: NDArray[np.uint8], boxes: NDArray[np.float32], **more: Any) -> Any:
        pixels, boxes = made(frames, boxes + np.float32(1), **more)
        return pixels, boxes - 1

    patch.setattr(data.faces.crops, "crop_faces", off)


def other_filter(patch: pytest.MonkeyPatch) -> None:
    """Crops are resized bilinearly."""
    made = data.faces.crops.resize

    def resize(frame: Any, size: Any, box: Any, kernel: str) -> Any:
        return made(frame, size, box, "bilinear")

    patch.setattr(data.faces.crops, "resize", resize)


def other_scaling(patch: pytest.MonkeyPatch) -> None:
    """ffmpeg converts frames with other flags."""
    patch.setattr(data.video.picture, "SCALE_FLAGS", "bilinear")


def next_frame(patch: pytest.MonkeyPatch) -> None:
    """Each chosen frame is the one after it."""
    made = data.video.frames.choose
    patch.setattr(
        data.video.frames,
        "choose",
        lambda times, recipe: np.minimum(made(times, recipe) + 1, len(times) - 1),
    )


@pytest.mark.parametrize(
    ("change", "cases"),
    [
        (crop_off, {"uniform", "runs", "turned"}),
        (other_filter, {"uniform", "runs", "turned"}),
        (other_scaling, set(CASES)),
        (next_frame, set(CASES)),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_change_of_pixels_is_seen(
    change: Callable[[pytest.MonkeyPatch], None], cases: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch)
    found = differences(make_crops(), load_golden())
    assert {line.partition(" ")[0] for line in found} >= cases


def test_a_face_found_elsewhere_and_another_margin_are_seen() -> None:
    golden = load_golden()
    found = differences(make_crops(Off()), golden)
    assert {"uniform crops", "uniform boxes"} <= {line.partition(":")[0] for line in found}
    file, recipe = CASES["uniform"]
    wider = {"uniform": (file, recipe.replace(margin=recipe.margin + 0.03))}
    assert len(differences(make_crops(cases=wider), golden)) == 2


def test_another_mean_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.backbones import open_nsfw as thin
    from models.backbones import resnet50 as backbone

    monkeypatch.setattr(thin, "MEAN_BGR", (104.0, 117.0, 122.0))
    monkeypatch.setattr(backbone, "MEAN_BGR", (103.939, 116.779, 122.68))
    golden = load_golden()
    found = differences(make_embeddings(golden[f"{EMBEDDED} crops"]), golden)
    assert len(found) == 2


def test_a_record_is_not_overwritten_by_chance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / path_of().name
    path.write_bytes(b"kept")
    assert record(path, replace=False) == 2
    assert path.read_bytes() == b"kept"
    assert "raise PIXELS_VERSION" in capsys.readouterr().err
