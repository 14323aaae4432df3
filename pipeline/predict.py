"""`unmask predict`: a verdict for each video, by the frames, backbone and head of the training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from data.digests import DigestCache
from data.errors import InputError, plain
from data.faces import FaceFinder
from data.frames import read_frames
from features.embed import Embedded, embed_videos
from features.sequences import Sequences
from models.bundle import Bundle
from models.encoder import make_encoder
from pipeline.stages import bundle_recipe, cores, make_jobs, named_videos


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the bundle says of one video.

    Attributes:
        video: as given.
        verdict: "FAKE", "REAL", or "UNSURE" too near the threshold; None where the video gave no
            features.
        probability_fake: calibrated P(fake), or None.
        threshold: at or above it the verdict is FAKE.
        frames_used: embedded frames.
        faces_found: frames in which the detector saw the face.
        sha256: of the file.
        failure: class of the failure, or None.
        message: of the failure, or None.
    """

    video: str
    verdict: str | None
    probability_fake: float | None
    threshold: float
    frames_used: int
    faces_found: int
    sha256: str | None
    failure: str | None = None
    message: str | None = None


def predict_videos(
    bundle: Path, videos: Sequence[Path], *, as_json: bool, workers: int | None
) -> int:
    """Prints a verdict for each video; returns how many gave none."""
    missing = [path for path in videos if not path.exists()]
    if missing:
        raise InputError(f"{missing[0]} does not exist; give videos or folders of videos")
    opened = Bundle.load(bundle)
    verdicts = sorted(judge(opened, videos, workers or cores()), key=lambda one: one.video)
    if as_json:
        print(json.dumps([asdict(one) for one in verdicts], indent=2))
    else:
        for one in verdicts:
            print(plain(told(one)))
    return sum(one.verdict is None for one in verdicts)


def judge(bundle: Bundle, videos: Sequence[Path], workers: int) -> Iterator[Verdict]:
    """Reads, embeds and scores videos; a bad one gives its reason and stops nothing."""
    frames, recipe = bundle_recipe(bundle.recipe)
    named = [
        (str(source / name) if source.is_dir() else str(source), path, row)
        for source in videos
        for name, path, row in named_videos(source, None)
    ]
    jobs, failures = make_jobs(named, DigestCache())
    threshold = bundle.head.threshold
    for failure in failures:
        yield no_verdict(failure.path, None, failure.failure, failure.message, threshold)
    network = bundle.load_backbone()
    faces = FaceFinder() if frames.crop == "face" else None
    for result in embed_videos(
        jobs,
        read=partial(read_frames, recipe=frames, faces=faces),
        encoder=make_encoder(network),
        workers=workers,
    ):
        job = result.job
        if result.failure is not None:
            failure = result.failure
            yield no_verdict(job.name, job.sha256, failure.failure, failure.message, threshold)
            continue
        score = float(bundle.score(as_sequences(result, recipe.dtype))[0])
        assert result.frames is not None  # noqa: S101
        yield Verdict(
            video=job.name,
            verdict=bundle.head.calibration.verdict(score, threshold),
            probability_fake=score,
            threshold=threshold,
            frames_used=len(result.frames.pixels),
            faces_found=int(result.frames.face_found.sum()),
            sha256=job.sha256,
        )


def as_sequences(result: Embedded, dtype: str) -> Sequences:
    """One video's features as the head reads them, rounded as the store would round them."""
    assert result.features is not None  # noqa: S101
    features = result.features.astype(dtype)[None]  # (1, T, D)
    return Sequences(
        features=features,
        mask=np.ones(features.shape[:2], bool),
        labels=np.zeros(1, np.int8),
        groups=("",),
        methods=("",),
        paths=(result.job.name,),
        sha256s=(result.job.sha256,),
    )


def no_verdict(
    video: str, sha256: str | None, failure: str, message: str, threshold: float
) -> Verdict:
    """A video that failed is not scored."""
    return Verdict(
        video=video,
        verdict=None,
        probability_fake=None,
        threshold=threshold,
        frames_used=0,
        faces_found=0,
        sha256=sha256,
        failure=failure,
        message=message,
    )


def told(verdict: Verdict) -> str:
    """A verdict as one line."""
    if verdict.verdict is None:
        return f"{verdict.video}: no verdict: {verdict.failure}: {verdict.message}"
    return (
        f"{verdict.video}: {verdict.verdict}  P(fake) {verdict.probability_fake:.3f}, threshold "
        f"{verdict.threshold:.3f}, {verdict.frames_used} frames, face seen in "
        f"{verdict.faces_found}"
    )
