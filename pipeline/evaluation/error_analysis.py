"""The worst mistakes of a report: which videos, their faces, and their score over time."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.datasets.digests import DigestCache
from data.datasets.manifest import Manifest, Video
from data.errors import VideoError
from data.faces.thumbnails import read_thumbnails
from data.video.failures import reason_of
from data.video.frames import FrameRecipe
from features.sequences.dataset import Sequences
from features.store.feature_set import Features

if TYPE_CHECKING:
    from models.bundle import Bundle

MOST = 12
FACES, SIDE = 8, 112
"""Faces of a strip and the side of each in pixels."""
STEPS = 16
"""Most points of the score over time of all frames so far."""
QUALITY = 80
"""Of the strip's JPEG: about 20 kB."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One video that the first model is wrong about.

    Attributes:
        row: its place among the report's predictions.
        timestamps_seconds: of its frames.
        frame_scores: P(fake) of each frame as if it were the whole video.
        so_far: (seconds, P(fake)) of all frames up to then.
        strip: its faces side by side as a `data:` URL; "" where they cannot be shown.
        shown_seconds: when each face of the strip is.
        reason: why there is no strip, in words; "" where there is one.
    """

    row: int
    timestamps_seconds: tuple[float, ...]
    frame_scores: tuple[float, ...]
    so_far: tuple[tuple[float, float], ...]
    strip: str
    shown_seconds: tuple[float, ...]
    reason: str


def worst(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    threshold: float,
    paths: Sequence[str],
) -> list[int]:
    """Rows on the wrong side of the threshold, farthest first, paths breaking ties."""
    wrong = np.flatnonzero((scores >= threshold) != (labels == 1))
    return sorted(wrong.tolist(), key=lambda row: (-abs(scores[row] - threshold), paths[row]))


def look_into(
    bundle: Bundle,
    stored: Features,
    manifest: Manifest,
    sequences: Sequences,
    videos: Sequence[Video],
    scores: NDArray[np.float64],
    frame_scores: NDArray[np.float64],
) -> list[Mistake]:
    """Gathers what the page shows of the worst mistakes.

    Args:
        bundle: whose head was wrong.
        stored: the features, with times and boxes of the frames.
        manifest: knows where the videos should lie; those that do not are said to be missing.
        sequences: the evaluated videos.
        videos: their rows of the manifest, in the same order.
        scores: (N,) P(fake).
        frame_scores: (N, T) P(fake) of each frame alone, NaN where there is none.
    """
    rows = worst(sequences.labels, scores, bundle.head.threshold, sequences.paths)[:MOST]
    recipe = FrameRecipe.from_json(bundle.recipe["frames"]) if rows else FrameRecipe()
    digests = DigestCache()
    found = []
    for row in rows:
        one = stored.sequence(sequences.sha256s[row])
        count = len(one.features)
        places = np.unique(np.linspace(0, count - 1, min(FACES, count)).round().astype(np.int64))
        strip, reason = "", ""
        try:
            path = manifest.resolve(videos[row])
            if digests.sha256(path) != videos[row].sha256:
                reason = "the file is not the one that was evaluated"
            else:
                pixels = read_thumbnails(
                    path, recipe, one.boxes, one.timestamps_seconds, places=places, size=SIDE
                )
                strip = as_url(pixels)
        except OSError:
            reason = "the video is not there; --root says where the videos are"
        except VideoError as error:
            reason = reason_of(error)
        times = one.timestamps_seconds
        found.append(
            Mistake(
                row=row,
                timestamps_seconds=tuple(times.tolist()),
                frame_scores=tuple(frame_scores[row, :count].tolist()),
                so_far=so_far(bundle, sequences, row, times),
                strip=strip,
                shown_seconds=tuple(times[places].tolist()),
                reason=reason,
            )
        )
    return found


def so_far(
    bundle: Bundle, sequences: Sequences, row: int, times: NDArray[np.float64]
) -> tuple[tuple[float, float], ...]:
    """P(fake) of a video's frames up to a time, at up to STEPS times; the last is its score."""
    count = len(times)
    ends = np.unique(np.linspace(1, count, min(STEPS, count)).round().astype(np.int64))
    frames = sequences.features[row][:count]
    prefixes = Sequences(
        features=np.repeat(frames[None], len(ends), 0),
        mask=np.arange(count)[None] < ends[:, None],
        labels=np.zeros(len(ends), np.int8),
        groups=("",) * len(ends),
        methods=("",) * len(ends),
        paths=("",) * len(ends),
        sha256s=("",) * len(ends),
    )
    return tuple(zip(times[ends - 1].tolist(), bundle.score(prefixes).tolist(), strict=True))


def as_url(pixels: NDArray[np.uint8]) -> str:
    """Faces (K, S, S, 3) side by side as a JPEG in a `data:` URL; equal faces, equal text."""
    held = io.BytesIO()
    Image.fromarray(np.concatenate(list(pixels), 1)).save(held, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode('ascii')}"
