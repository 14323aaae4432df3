"""Do pixels outside the face tell a fake from its original?

A forgery changes the face. If a plain classifier can tell the two by the rest of the picture, the
files differ in another way, most often in how they were encoded or filtered, and a detector will
learn that instead. Looked at are DCT coefficients and the noise residual of what lies outside the
face, as forensics of double compression does (Fridrich and Kodovsky, 2012, for residuals).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.ndimage import uniform_filter
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data.datasets.manifest import Manifest, Video
from data.errors import VideoError
from data.faces.crops import FaceFollower
from data.io.progress import map_videos
from data.video.frames import FrameRecipe, read_pixels
from data.video.picture import LUMA, Picture
from data.video.probe import probe
from models.evaluation.bootstrap import group_weights, weighted_auc
from models.evaluation.evaluate import percentiles
from models.evaluation.pairs import pair_rows, wins

MOST_PAIRS = 200
"""Pairs that are looked at, drawn by digest; each takes about a second."""
FEWEST_PAIRS = 10
"""With fewer an AUC is chance."""
RECIPE = FrameRecipe(count=8, crop="full", size=32, minimum_frames=1)
"""Frames of each video: evenly over it. The size is not used: frames are read whole."""
LONGEST = 1280
"""Longer side in pixels up to which frames are read as they are; `forge`'s own limit."""
ROOM = 1.8
"""Side of what counts as the face over side of the detector's box. Masks of `forge` reach to 1.5
with their soft edges and movements."""
BLOCK = 8
"""Side of a DCT block, as in JPEG; H.264's transforms are of 4 and 8 pixels."""
FEWEST_BLOCKS = 32
"""With fewer blocks outside the face in a video it has no outside to speak of."""
FLOOR = 1e-3
"""Added before logarithms: coefficients may be 0 everywhere, as in black borders."""
PENALTY = 0.1
"""Inverse strength of the penalty of the classifiers."""


class Finder(Protocol):
    """Makes a face finder."""

    def __call__(self) -> FaceFollower: ...


@dataclass(frozen=True, kw_only=True)
class OutsidePixels:
    """What pixels outside the face tell."""

    pairs: int  # that were compared
    unread: tuple[str, ...]  # path and reason of pairs that could not be
    # what, auc, low, high of each test; empty with fewer than FEWEST_PAIRS pairs
    aucs: tuple[dict[str, Any], ...]


def compare_outside(
    manifest: Manifest, *, workers: int, level: float, finder: Finder | None = None
) -> OutsidePixels:
    """Compares fakes with their originals, where both are among the videos.

    Args:
        manifest: with its root.
        workers: pairs read at once.
        level: of the intervals.
        finder: finds faces in the originals; None for `data.faces.tracker.FaceFinder`.
    """
    videos = manifest.videos
    rows = pair_rows(
        [video.path for video in videos],
        [video.label for video in videos],
        [video.original for video in videos],
    )
    chosen = sorted(rows.tolist(), key=lambda row: _place(videos[row[0]]))[:MOST_PAIRS]
    if len(chosen) < FEWEST_PAIRS:
        return OutsidePixels(pairs=0, unread=(), aucs=())
    if finder is None:
        from data.faces.tracker import FaceFinder

        finder = FaceFinder
    faces = finder()
    pairs = [(videos[fake], videos[real]) for fake, real in chosen]
    look = partial(_look, manifest, faces)
    looked = map_videos(look, pairs, workers=workers, desc="pairs")
    read = [
        (pair[0], one) for pair, one in zip(pairs, looked, strict=True) if not isinstance(one, str)
    ]
    unread = tuple(one for one in looked if isinstance(one, str))
    if len(read) < FEWEST_PAIRS:
        return OutsidePixels(pairs=len(read), unread=unread, aucs=())
    fakes, reals = (np.stack([one[side] for _, one in read]) for side in (0, 1))
    groups = np.asarray([video.group for video, _ in read])
    return OutsidePixels(
        pairs=len(read), unread=unread, aucs=tuple(leak_aucs(fakes, reals, groups, level=level))
    )


def leak_aucs(
    fakes: NDArray[np.float64],
    reals: NDArray[np.float64],
    groups: NDArray[np.str_],
    *,
    level: float,
) -> list[dict[str, Any]]:
    """How well statistics tell fakes from their originals, by models that never saw the group.

    Args:
        fakes: (K, E) statistics.
        reals: (K, E) of their originals.
        groups: (K,) names.
        level: of the intervals.

    Returns:
        Rows of what, auc, low, high. "videos" judges each video by itself; "pairs" the difference
        of the two, which scenes do not drown: its AUC is the share of pairs told rightly. None with
        fewer than two groups.
    """
    folds = min(5, len(set(groups.tolist())))
    if folds < 2:
        return []
    cuts = GroupKFold(folds, shuffle=True, random_state=0)
    labels = np.repeat([1, 0], len(fakes))
    both, of_both = np.concatenate([fakes, reals]), np.concatenate([groups, groups])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=2000))
    scores = cross_val_predict(
        model, both, labels, groups=of_both, cv=cuts, method="decision_function"
    )
    weights = group_weights(labels, of_both, rounds=500, seed=0)
    drawn = weighted_auc(labels, scores, weights)
    whole = weighted_auc(labels, scores, np.ones((1, len(labels))))[0]
    rows = [_row("videos", float(whole), drawn, level)]
    differences = fakes - reals
    told = np.zeros(len(differences))
    for train, test in cuts.split(differences, groups=groups):
        told[test] = wins(_difference_scores(differences[train], differences[test]), np.zeros(1))
    held = weights[:, : len(told)]  # both videos of a pair are in one group
    shares = held @ told / held.sum(1)
    return [*rows, _row("pairs", float(told.mean()), shares, level)]


def _difference_scores(
    train: NDArray[np.float64], test: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fits fake minus original against original minus fake; (K,) above 0 looks like the former.

    No mean is taken off and no intercept is fitted: equal pairs score 0.
    """
    scale = np.sqrt(np.square(train).mean(0))
    scale = np.where(scale > 0, scale, 1.0)
    model = LogisticRegression(C=PENALTY, fit_intercept=False, max_iter=2000)
    model.fit(np.concatenate([train, -train]) / scale, np.repeat([1, 0], len(train)))
    return np.asarray((test / scale) @ model.coef_[0])


def _row(what: str, auc: float, drawn: NDArray[np.float64], level: float) -> dict[str, Any]:
    low, high = np.percentile(drawn, percentiles(level))
    return {"what": what, "auc": auc, "low": float(low), "high": float(high)}


def _place(video: Video) -> str:
    """What pairs are drawn by: their content, whatever the order of the manifest."""
    return hashlib.sha256(f"outside {video.sha256}".encode()).hexdigest()


def _look(
    manifest: Manifest, faces: FaceFollower, pair: tuple[Video, Video]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | str:
    """The statistics of a fake and of its original; why there are none, in one line."""
    fake, real = pair
    try:
        pictures, times = _read(manifest.resolve(real))
        forged, _ = _read(manifest.resolve(fake))
        if pictures.shape != forged.shape:
            sizes = (f"{one.shape[2]}x{one.shape[1]}" for one in (forged, pictures))
            return f"{fake.path}: {' against '.join(sizes)} pixels, or fewer frames"
        boxes = faces.follow(pictures, times).boxes
        return outside_statistics(forged, boxes), outside_statistics(pictures, boxes)
    except VideoError as error:
        return f"{fake.path}: {error}"


def _read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    info = probe(path)
    return read_pixels(path, info, RECIPE, Picture(longest=LONGEST, turned=info.turned))


def outside_statistics(
    pixels: NDArray[np.uint8], boxes: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Logarithms of DCT magnitudes and of the noise residual outside the face, (66,) float64.

    Args:
        pixels: (T, H, W, 3) uint8 RGB.
        boxes: (T, 4) float32, the face in each frame.

    Raises:
        VideoError: no_face, if the face leaves nothing outside.
    """
    blocks, residuals = [], []
    for picture, box in zip(pixels, boxes, strict=True):
        grey = picture.astype(np.float32) @ LUMA
        height, width = (side // BLOCK * BLOCK for side in grey.shape)
        grey = grey[:height, :width]
        outside = _outside(box, height // BLOCK, width // BLOCK)
        blocks.append(_cut(grey)[outside])
        noise = grey - uniform_filter(grey, 3, mode="nearest")
        residuals.append(_cut(noise)[outside])
    cut, noise = np.concatenate(blocks), np.concatenate(residuals)  # (B, 8, 8)
    if len(cut) < FEWEST_BLOCKS:
        raise VideoError("no_face", "the face fills the picture: nothing outside to compare")
    sizes = np.abs(dctn(cut, axes=(1, 2), norm="ortho")).mean(0).ravel()[1:]  # (63,)
    deviation = noise.std((1, 2))  # (B,)
    spread = [deviation.mean(), float(np.median(deviation)), _edge_share(cut)]
    return np.log(np.concatenate([sizes, spread]).astype(np.float64) + FLOOR)


def _outside(box: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.bool_]:
    """Blocks that do not touch the widened face, (rows, columns) bool."""
    centre, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()) * ROOM
    low, high = centre - side / 2, centre + side / 2
    y, x = np.arange(rows) * BLOCK, np.arange(columns) * BLOCK
    inside_y = (y + BLOCK > low[1]) & (y < high[1])
    inside_x = (x + BLOCK > low[0]) & (x < high[0])
    return np.asarray(~(inside_y[:, None] & inside_x[None, :]))


def _cut(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """(8 r, 8 c) to blocks (r, c, 8, 8)."""
    rows, columns = grey.shape[0] // BLOCK, grey.shape[1] // BLOCK
    return grey.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)


def _edge_share(blocks: NDArray[np.float32]) -> float:
    """Steps at the middle of blocks over those at their first pixel: the coder's grid."""
    steps = np.abs(np.diff(blocks, axis=2)).mean((0, 1))  # (7,)
    return float((steps[3] + FLOOR) / (steps[0] + FLOOR))
