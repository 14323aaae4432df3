"""The videos that a model gets most wrong: which, their faces, and their scores over time."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
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
from models.bundle import Bundle
from models.evaluation.thresholds import rank_misclassified
from models.explanation.score_interval import score_parts
from pipeline.evaluation.results import MisclassifiedVideo

if TYPE_CHECKING:
    from features.store.shard import StoredSequence

MOST = 12
"""Videos that are analysed."""
FACES, SIDE = 8, 112
"""Faces of a strip, and the side of each in pixels."""
STEPS = 16
"""Most points of the score of all frames so far."""
QUALITY = 80
"""Of the strip's JPEG: about 20 kB."""


def analyse_errors(
    bundle: Bundle,
    stored: Features,
    manifest: Manifest,
    sequences: Sequences,
    videos: Sequence[Video],
    scores: NDArray[np.float64],
    frame_scores: NDArray[np.float64],
) -> list[MisclassifiedVideo]:
    """Gathers what the page shows of the worst errors.

    Args:
        bundle: whose head was wrong.
        stored: the features, with times and boxes of the frames.
        manifest: says where the videos lie; a video that is not there costs its faces alone.
        sequences: the evaluated videos.
        videos: their rows of the manifest, in the same order.
        scores: (N,) P(fake).
        frame_scores: (N, T) P(fake) of each frame alone, NaN where there is none.
    """
    rows = rank_misclassified(sequences.labels, scores, bundle.head.threshold, sequences.paths)
    digests = DigestCache()
    found = []
    for row in rows[:MOST]:
        one, video = stored.sequence(sequences.sha256s[row]), videos[row]
        times = one.timestamps_seconds
        count = len(times)
        strip, shown, reason = show_faces(manifest, video, one, bundle.recipe["frames"], digests)
        found.append(
            MisclassifiedVideo(
                row=row,
                timestamps_seconds=tuple(times.tolist()),
                frame_scores=tuple(frame_scores[row, :count].tolist()),
                so_far=score_so_far(bundle, sequences.features[row][:count], times),
                strip=strip,
                shown_seconds=shown,
                reason=reason,
            )
        )
    return found


def show_faces(
    manifest: Manifest,
    video: Video,
    one: StoredSequence,
    frames: dict[str, Any],
    digests: DigestCache,
) -> tuple[str, tuple[float, ...], str]:
    """Faces of a video, as they were cropped for its features.

    Args:
        manifest: says where the video lies.
        video: its row.
        one: its features, with times and boxes.
        frames: the features' recipe of frames, as JSON.
        digests: of files.

    Returns:
        The strip as a `data:` URL, when each face of it is in seconds, and "". Where they cannot be
        shown the first is "", and the last says why.
    """
    times = one.timestamps_seconds
    count = len(times)
    places = np.unique(np.linspace(0, count - 1, min(FACES, count)).round().astype(np.int64))
    strip, reason = "", ""
    try:
        path = manifest.resolve(video)
        if digests.sha256(path) != video.sha256:
            reason = "the file is not the one that was evaluated"
        else:
            recipe = FrameRecipe.from_json(frames)
            strip = as_url(
                read_thumbnails(path, recipe, one.boxes, times, places=places, size=SIDE)
            )
    except OSError:
        reason = "the video is not there; --root says where the videos are"
    except VideoError as error:
        reason = reason_of(error)
    return strip, tuple(times[places].tolist()), reason


def score_so_far(
    bundle: Bundle, frames: NDArray[np.floating], times: NDArray[np.float64]
) -> tuple[tuple[float, float], ...]:
    """(seconds, P(fake)) of frames (T, D) up to a time, at most STEPS; the last is of all."""
    count = len(times)
    ends = np.unique(np.linspace(1, count, min(STEPS, count)).round().astype(np.int64))
    raw = score_parts(bundle.head, frames, [np.arange(end) for end in ends])
    scores = bundle.head.calibration.apply(raw)
    return tuple(zip(times[ends - 1].tolist(), scores.tolist(), strict=True))


def as_url(pixels: NDArray[np.uint8]) -> str:
    """Faces (K, S, S, 3) side by side as a JPEG in a `data:` URL; equal faces, equal text."""
    held = io.BytesIO()
    Image.fromarray(np.concatenate(list(pixels), 1)).save(held, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode('ascii')}"
