"""Occlusion maps: how hiding a part of the face changes the score (Zeiler and Fergus, 2014).

Occlusion needs no gradient, so it works with every backbone, runtime and head. A part is hidden by
a blur with a soft edge, which keeps its colour and makes no edge that a camera would not. One pass
of the backbone gives two maps: of the whole video, the part hidden in all frames at once, and of
each frame, hidden in that frame alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.io.progress import progress
from features.extraction.batches import Batcher, Encoder
from models.bundle import BundledHead
from models.evaluation.calibration import bounded_logit
from models.explanation.score_interval import score_sequences

CELLS = 7
"""Cells along one side of a map: as in ResNet50's last feature map."""
PATCH_CELLS = 2
"""Side of a hidden part in cells."""
MOST_FRAMES = 16
"""Frames in which parts are hidden; a longer sequence is sampled evenly."""
TOGETHER = 8
"""Parts whose single frames are scored at once: 8 of 16 frames fill the head's batch of 128."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One hidden square."""

    top: int  # in cells
    left: int  # in cells
    effect: float  # how far hiding it lowers the log-odds of fake; negative where it raises them
    probability_fake: float  # calibrated, with it hidden


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """The effect of each part of one face on its score."""

    # (CELLS, CELLS) float64, effect of hiding a cell in all frames, in log-odds of fake; positive
    # where the part raises P(fake)
    whole: NDArray[np.float64]
    frames: NDArray[np.float64]  # (T', CELLS, CELLS) float64, hidden in one frame alone
    frame_numbers: NDArray[np.int64]  # (T',) the frames of the sequence that were used
    probability_fake: float  # calibrated, of these frames, nothing hidden
    hottest: Part  # the part whose hiding lowers the score most
    coldest: Part  # the one whose hiding lowers it least, or raises it most


def heat_map(
    head: BundledHead,
    encoder: Encoder,
    pixels: NDArray[np.uint8],
    features: NDArray[np.floating[Any]],
    *,
    show: bool = True,
) -> HeatMap:
    """Hides every part in turn.

    Args:
        head: of the bundle.
        encoder: its backbone.
        pixels: (T, S, S, 3) uint8 RGB, one face's crops.
        features: (T, D) their embeddings, rounded as the store rounds them.
        show: a progress bar.
    """
    chosen = spread(len(pixels))
    pixels, features = pixels[chosen], features[chosen]
    places = [
        (top, left)
        for top in range(CELLS - PATCH_CELLS + 1)
        for left in range(CELLS - PATCH_CELLS + 1)
    ]
    hidden = _embed_hidden(encoder, pixels, places, features.dtype, show)  # (P, T', D)
    count = len(chosen)
    visible = _raw(head, features[None])
    own = float(bounded_logit(visible)[0])
    raw = _raw(head, hidden)
    whole = own - bounded_logit(raw)  # (P,)
    single = np.zeros((len(places), count))
    every = np.arange(count)
    for start in range(0, len(places), TOGETHER):
        part = hidden[start : start + TOGETHER]
        rows = np.tile(features, (len(part), count, 1, 1))  # (P', T', T', D), one row for a frame
        rows[:, every, every] = part
        scored = _raw(head, rows.reshape(-1, *features.shape)).reshape(len(part), count)
        single[start : start + TOGETHER] = own - bounded_logit(scored)
    shown = head.calibration.apply(raw)
    parts = [
        Part(top=top, left=left, effect=float(effect), probability_fake=float(probability))
        for (top, left), effect, probability in zip(places, whole, shown, strict=True)
    ]
    return HeatMap(
        whole=on_cells(places, whole),
        frames=np.stack([on_cells(places, single[:, frame]) for frame in range(count)]),
        frame_numbers=chosen,
        probability_fake=float(head.calibration.apply(visible)[0]),
        hottest=max(parts, key=lambda part: part.effect),
        coldest=min(parts, key=lambda part: part.effect),
    )


def spread(count: int) -> NDArray[np.int64]:
    """At most MOST_FRAMES of `count` frame numbers, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_FRAMES)).round().astype(np.int64))


def hide(pixels: NDArray[np.uint8], top: int, left: int) -> NDArray[np.uint8]:
    """Blurs one part, at `top` and `left` in cells, of all frames: (T, S, S, 3) uint8 RGB."""
    side = pixels.shape[1]
    edges = [round(at * side / CELLS) for at in (left, top, left + PATCH_CELLS, top + PATCH_CELLS)]
    mask = Image.new("L", (side, side))
    mask.paste(255, (edges[0], edges[1], edges[2], edges[3]))
    mask = mask.filter(ImageFilter.GaussianBlur(side / 56))
    result = np.empty_like(pixels)
    for index, frame in enumerate(pixels):
        image = Image.fromarray(frame)
        blurred = image.filter(ImageFilter.GaussianBlur(side / 9))
        result[index] = np.asarray(Image.composite(blurred, image, mask))
    return result


def on_cells(places: list[tuple[int, int]], effects: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean effect of the parts that cover each cell, (CELLS, CELLS)."""
    total, times = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for (top, left), effect in zip(places, effects, strict=True):
        covered = np.s_[top : top + PATCH_CELLS, left : left + PATCH_CELLS]
        total[covered] += effect
        times[covered] += 1
    return total / times


def _embed_hidden(
    encoder: Encoder,
    pixels: NDArray[np.uint8],
    places: list[tuple[int, int]],
    dtype: np.dtype[Any],
    show: bool,
) -> NDArray[np.floating[Any]]:
    """Embeddings (P, T, D) of the frames with each part hidden."""
    batcher: Batcher[int] = Batcher(encoder)
    found: dict[int, NDArray[np.floating[Any]]] = {}
    bar = progress(places, desc="heat map", unit="part", show=show, leave=False)
    for number, (top, left) in enumerate(bar):
        for tag, embeddings in batcher.add(number, hide(pixels, top, left)):
            found[tag] = embeddings.astype(dtype)
    for tag, embeddings in batcher.flush():
        found[tag] = embeddings.astype(dtype)
    return np.stack([found[number] for number in range(len(places))])


def _raw(head: BundledHead, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Raw scores, (N,), of whole sequences (N, T, D)."""
    return score_sequences(head, features, np.ones(features.shape[:2], bool))
