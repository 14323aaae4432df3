"""`unmask fit-pairs`: measures on a user's own pairs how sure `pair` may be of which is forged.

It looks at the forgeries of a manifest whose original is in it, too: two videos of one scene, of
which one is known to be forged. An encoder takes detail from a face as a forger does, so each pair
is also looked at with its real, and with its fake, encoded anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.alignment.align_files import AlignedFiles, align_files
from data.alignment.aligned_frames import MARGIN, SIDE, crop_track, read_aligned
from data.alignment.blending import measure_blending
from data.alignment.difference import THRESHOLD
from data.datasets.manifest import Manifest, Video
from data.errors import DatasetError, VideoError
from data.io.output_paths import check_output
from data.io.progress import log, progress
from data.video.corruptions import choose_corruptions, copy_of
from data.video.failures import reason_of
from data.video.probe import probe
from models.bundle import Bundle
from models.evaluation.likelihood_ratio_fit import nine_digits
from models.pairs.fit import Losses, fit_ratio
from models.pairs.model import FILE, PairModel
from pipeline.pairs.compare import faces_of

COPIES = choose_corruptions(["crf-28,crf-33,crf-40,half-size"])
"""Of a pair's real the one, of its fake the next, in turn."""
VERSIONS = 3
"""Of each pair: as it is, its real encoded anew, its fake encoded anew."""
SPLITS = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class PairsFit:
    """What was fitted."""

    file: Path  # that was written
    pairs: int  # that were measured
    left_out: tuple[tuple[str, str], ...]  # path of a fake and why its pair was not measured
    right: float  # share of the pairs ordered rightly, as they are
    right_copies: float  # the same of pairs of which one side was encoded anew
    origin: str  # what the ratio was measured on, a sentence


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredPair:
    """One pair."""

    fake: Video
    lost: NDArray[np.float64]  # (3,) by the fake: as they are, the real and the fake encoded anew


def fit_bundle_pairs(bundle: Path, manifest: Path, *, root: Path | None, seed: int = 0) -> PairsFit:
    """Fits a bundle's ratio of pairs and writes it into the bundle's folder.

    Args:
        bundle: that `train` wrote.
        manifest: pairs of its training and validation splits are looked at.
        root: folder of the videos; None for the manifest's own.
        seed: of the draws behind the ratio's interval.

    Raises:
        DatasetError: too few pairs.
        OutputError: the bundle's folder cannot be written.
        InputError, StoreError: there is no bundle, or it is damaged.
    """
    Bundle.load(bundle)
    check_output(bundle / FILE)
    opened = Manifest.read(manifest, root=root)
    named = pairs_of(opened.videos)
    if not named:
        raise DatasetError(
            f"{manifest} has no fake in training or validation whose original, a real video, is "
            "there, too; `index` reads a column `original`, and `forge` makes such pairs"
        )
    measured: list[MeasuredPair] = []
    left_out: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="unmask-pairs-") as folder:
        for number, (real, fake) in enumerate(progress(named, desc="pairs", unit="pair")):
            try:
                files = align_files(opened.resolve(real), opened.resolve(fake))
                lost = losses_of(files, number, Path(folder))
                measured.append(MeasuredPair(fake=fake, lost=lost))
            except NotAPairError as error:
                left_out.append((fake.path, str(error)))
            except VideoError as error:
                left_out.append((fake.path, reason_of(error)))
    for path, why in left_out:
        log.info(f"{path} is left out: {why}")
    return write_fit(bundle, measured, named, left_out, seed=seed)


class NotAPairError(Exception):
    """Two videos of the manifest do not show one scene, or do not differ."""


def pairs_of(videos: Sequence[Video]) -> list[tuple[Video, Video]]:
    """The real and the fake of each pair in training and validation, sorted by the fake's path."""
    known = {one.path: one for one in videos if one.split in SPLITS}
    return [
        (known[one.original], one)
        for path, one in sorted(known.items())
        if one.label == 1 and one.original in known and known[one.original].label == 0
    ]


def losses_of(files: AlignedFiles, number: int, folder: Path) -> NDArray[np.float64]:
    """Losses of detail (3,) by a fake against its real, as they are and with either encoded anew.

    Args:
        files: the real and the fake.
        number: of the pair, by which the copies are chosen.
        folder: in which copies are made, and removed again.

    Raises:
        NotAPairError: they show other scenes, or do not differ, or too little of the surroundings.
        VideoError: one cannot be read.
    """
    if not files.alignment.one_scene:
        raise NotAPairError(files.alignment.reason)
    frames = read_aligned(files)
    _, pair, difference = faces_of(files, frames)[0]
    if difference.statistic <= THRESHOLD:
        raise NotAPairError(f"the two faces are alike ({difference.statistic:.2f})")
    found = [measure_blending(pair, frames.consecutive)]
    # A copy has its source's size and times: the alignment holds, and so does the face's place.
    times = frames.times_one
    for side in (0, 1):
        copied = with_copy(files, side, number + side, folder)
        again = read_aligned(copied)
        boxes = pair.boxes[[int(np.abs(times - at).argmin()) for at in again.times_one]]
        face = crop_track(again, boxes, side=SIDE, margin=MARGIN)
        found.append(measure_blending(face, again.consecutive))
        copied.paths[side].unlink()
    if any(one is None for one in found):
        raise NotAPairError("too little is shown around the face")
    return np.asarray([0.0 - one.lost for one in found if one is not None])


def with_copy(files: AlignedFiles, side: int, number: int, folder: Path) -> AlignedFiles:
    """The same two files, one of them encoded anew in a folder."""
    corruption, info = COPIES[number % len(COPIES)], files.infos[side]
    copy = copy_of(
        files.paths[side],
        f"{number}-{side}",
        corruption,
        folder=folder,
        width=info.width,
        height=info.height,
        fps=info.fps,
    )
    copy.path.parent.mkdir(exist_ok=True)
    copy.make()
    paths = (copy.path, files.paths[1]) if side == 0 else (files.paths[0], copy.path)
    made = probe(copy.path)
    return replace(
        files, paths=paths, infos=(made, files.infos[1]) if side == 0 else (files.infos[0], made)
    )


def write_fit(
    bundle: Path,
    measured: Sequence[MeasuredPair],
    named: Sequence[tuple[Video, Video]],
    left_out: Sequence[tuple[str, str]],
    *,
    seed: int,
) -> PairsFit:
    """Fits the ratio to all that was measured, and writes it."""
    paths = {one.fake.path for one in measured}
    lost = np.asarray([one.lost for one in measured]).reshape(len(measured), VERSIONS)
    model = fit_model(
        lost,
        [one.fake.group for one in measured],
        [one.fake.method for one in measured],
        [video.sha256 for pair in named if pair[1].path in paths for video in pair],
        seed=seed,
    )
    return PairsFit(
        file=model.save(bundle / FILE),
        pairs=len(measured),
        left_out=tuple(left_out),
        right=float((lost[:, 0] > 0).mean()),
        right_copies=float((lost[:, 1:] > 0).mean()),
        origin=model.origin,
    )


def fit_model(
    lost: NDArray[np.float64],
    groups: Sequence[str],
    methods: Sequence[str],
    sha256s: Sequence[str],
    *,
    seed: int = 0,
) -> PairModel:
    """The model of losses (N, VERSIONS) of pairs whose groups and methods are told, (N,).

    Raises:
        DatasetError: too few pairs.
    """
    losses = Losses(
        lost=lost.ravel(),
        groups=tuple(one for one in groups for _ in range(VERSIONS)),
        methods=tuple(one for one in methods for _ in range(VERSIONS)),
    )
    return PairModel(
        ratio=fit_ratio(losses, seed=seed),
        pairs=len(lost),
        right=nine_digits(float((lost > 0).mean())),
        methods=tuple(sorted(set(methods))),
        sha256s=tuple(sorted(set(sha256s))),
    )
