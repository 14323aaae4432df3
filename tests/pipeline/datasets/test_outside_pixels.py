"""The audit sees when pixels outside the face give a fake away, and only then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from data.datasets.manifest import Manifest, Video
from data.video.encoding import encode
from pipeline.datasets.audit import make_warnings
from pipeline.datasets.outside_pixels import (
    FEWEST_PAIRS,
    compare_outside,
    leak_aucs,
    outside_statistics,
)

SIDE, FRAMES, FACE = 96, 10, (36, 36, 60, 60)
PAIRS = 24


class MiddleFace:
    """A finder of the face that these clips have."""

    def follow(self, frames, timestamps_seconds):
        return SimpleNamespace(boxes=np.tile(np.asarray(FACE, np.float32), (len(frames), 1)))


def scene(seed: int) -> np.ndarray:
    """A textured picture that moves, with a still face; its contrast is the scene's own."""
    draw = np.random.default_rng(seed)
    rough = gaussian_filter(draw.normal(0, 1, (SIDE + FRAMES, SIDE)), draw.uniform(0.6, 1.6))
    rough = 128 + draw.uniform(15, 40) * rough / rough.std()
    frames = np.stack([rough[at : at + SIDE] for at in range(FRAMES)])
    frames[:, FACE[1] : FACE[3], FACE[0] : FACE[2]] = face(draw)
    return np.repeat(np.clip(frames, 0, 255).astype(np.uint8)[..., None], 3, axis=3)


def face(draw: np.random.Generator) -> np.ndarray:
    """As hard to encode as any other: a harder one would take bits from what is around it."""
    return 170 + 8 * gaussian_filter(draw.normal(0, 3, (24, 24)), 1)


def forged(frames: np.ndarray, seed: int) -> np.ndarray:
    """The same with another face."""
    made = frames.copy()
    other = face(np.random.default_rng((seed, 1))).astype(np.uint8)
    made[:, FACE[1] : FACE[3], FACE[0] : FACE[2]] = other[..., None]
    return made


def blurred(frames: np.ndarray) -> np.ndarray:
    return np.stack([gaussian_filter(frame, (0.6, 0.6, 0)) for frame in frames])


def pairs_in(folder: Path, *, fake_crf: int = 23, change=lambda frames: frames) -> Manifest:
    """Clips and their manifest."""
    videos = []
    for number in range(PAIRS):
        frames = scene(number)
        common = {
            "group": f"g{number}", "split": "train", "size_bytes": 1, "codec": "h264",
            "width": SIDE, "height": SIDE, "fps": 25.0, "duration_seconds": 0.4, "bit_rate": 1,
        }  # fmt: skip
        for label, name in enumerate(("real", "fake")):
            path = folder / name / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = change(forged(frames, number)) if label else frames
            encode(path, iter(pixels), fps=25, crf=fake_crf if label else 23)
            videos.append(
                Video(
                    path=f"{name}/{number}.mp4", label=label, sha256=f"{2 * number + label:064x}",
                    method="forged-blend" if label else "real",
                    original=f"real/{number}.mp4" if label else "", **common,
                )
            )  # fmt: skip
    return Manifest(root=folder, videos=tuple(videos))


def look(manifest: Manifest) -> dict[str, dict[str, float]]:
    found = compare_outside(manifest, workers=2, level=0.95, finder=MiddleFace)
    assert (found.pairs, found.unread) == (PAIRS, ())
    return {row["what"]: row for row in found.aucs}


def warns(manifest: Manifest) -> bool:
    found = compare_outside(manifest, workers=2, level=0.95, finder=MiddleFace)
    return any("outside the face" in line for line in make_warnings([], [], [], [], found))


def test_forgeries_encoded_like_their_copies_are_not_told(tmp_path):
    manifest = pairs_in(tmp_path)
    found = look(manifest)
    assert 0.45 <= found["videos"]["auc"] <= 0.55
    assert found["pairs"]["low"] <= 0.5
    assert not warns(manifest)


@pytest.mark.parametrize(
    "leak", [{"fake_crf": 27}, {"change": blurred}], ids=["another quality", "a slight blur"]
)
def test_a_planted_leak_is_caught(tmp_path, leak):
    manifest = pairs_in(tmp_path, **leak)
    found = look(manifest)
    assert found["pairs"]["auc"] > 0.9
    assert found["pairs"]["low"] > 0.8
    assert warns(manifest)


def test_equal_statistics_are_told_by_nobody():
    same = np.random.default_rng(0).normal(size=(20, 5))
    rows = leak_aucs(same, same, np.asarray([f"g{n}" for n in range(20)]), level=0.95)
    assert [row["auc"] for row in rows] == [0.5, 0.5]
    assert rows[1]["low"] == rows[1]["high"] == 0.5


def test_pixels_of_the_face_do_not_count():
    frames = scene(0)
    boxes = MiddleFace().follow(frames, None).boxes
    assert np.array_equal(
        outside_statistics(frames, boxes), outside_statistics(forged(frames, 0), boxes)
    )
    assert not np.array_equal(
        outside_statistics(frames, boxes), outside_statistics(blurred(frames), boxes)
    )


def test_too_few_pairs_and_faces_that_fill_the_picture_are_not_judged(tmp_path):
    manifest = pairs_in(tmp_path)
    few = replace(manifest, videos=manifest.videos[: 2 * (FEWEST_PAIRS - 1)])
    assert compare_outside(few, workers=1, level=0.95, finder=MiddleFace).aucs == ()

    class WholeFace:
        def follow(self, frames, timestamps_seconds):
            whole = np.asarray((0, 0, SIDE, SIDE), np.float32)
            return SimpleNamespace(boxes=np.tile(whole, (len(frames), 1)))

    found = compare_outside(manifest, workers=1, level=0.95, finder=WholeFace)
    assert found.aucs == ()
    assert "the face fills the picture" in found.unread[0]


def test_pairs_of_other_sizes_are_named(tmp_path):
    manifest = pairs_in(tmp_path)
    encode(tmp_path / "fake/0.mp4", iter(scene(0)[:, :64, :64]), fps=25, crf=23)
    found = compare_outside(manifest, workers=1, level=0.95, finder=MiddleFace)
    assert found.pairs == PAIRS - 1
    assert found.unread == ("fake/0.mp4: 64x64 against 96x96 pixels, or fewer frames",)
