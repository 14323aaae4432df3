"""The results of `unmask predict`: a video's verdict, and the evidence for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.faces.crops import Frames
from data.faces.multi_face import FacesFrames
from features.extraction.batches import Encoder
from models.bundle import Bundle
from models.explanation.score_interval import ScoreInterval
from pipeline.inference.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class FaceVerdict:
    """The bundle's verdict on one face of a video.

    Attributes:
        face: 1 for the largest lasting one, whose verdict is the video's.
        verdict: "FAKE", "REAL" or "UNSURE".
        probability_fake: calibrated P(fake).
        probability_low: of the interval over halves of the frames; None for few frames.
        probability_high: likewise.
        interval_level: of this interval, a share; None for few frames.
        agreement: share of the halves that give the same verdict; None for few frames.
        frames_used: embedded frames.
        faces_found: frames in which the detector saw it.
        start_seconds: when the first of its frames is shown.
        end_seconds: when the last is shown.
        jumps: how often it leaves its place from one frame to the next: at a cut, or where the
            largest face becomes another person's.
        box: x0, y0, x1, y1 of its crop in the middle of that time, in pixels of the video as shown.
    """

    face: int
    verdict: str
    probability_fake: float
    probability_low: float | None
    probability_high: float | None
    interval_level: float | None
    agreement: float | None
    frames_used: int
    faces_found: int
    start_seconds: float
    end_seconds: float
    jumps: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The bundle's verdict on one video; `--json` prints these.

    Attributes:
        video: as given.
        warning: shown before the verdict where the bundle was trained on rendered people alone;
            None for others.
        training: what the bundle was trained on, and its test result; one line.
        verdict: "FAKE", "REAL", or "UNSURE" too near the threshold; None where the video gave no
            features.
        probability_fake: calibrated P(fake), or None.
        threshold: at or above it the verdict is FAKE.
        frames_used: embedded frames.
        faces_found: frames in which the detector saw the face.
        sha256: of the file.
        failure: class of the failure, or None.
        message: of the failure, with what ffmpeg said of it; or None.
        faces: of every lasting face, the video's own first; none after a failure.
        pixels_note: says that the bundle was trained on another pixels version than this unmask
            reads; or None.
        picture_note: says that the video's picture changes its size; or None.
    """

    video: str
    warning: str | None = None
    training: str = ""
    verdict: str | None
    probability_fake: float | None
    threshold: float
    frames_used: int
    faces_found: int
    sha256: str | None
    failure: str | None = None
    message: str | None = None
    faces: tuple[FaceVerdict, ...] = ()
    pixels_note: str | None = None
    picture_note: str | None = None


@dataclass(frozen=True, kw_only=True)
class JudgedFace:
    """A face's verdict and the evidence for it.

    Attributes:
        verdict: of this face.
        evidence: its score, interval and timeline.
        frames: its crops.
        features: (T, D), rounded as the store rounds them.
    """

    verdict: FaceVerdict
    evidence: ScoreInterval
    frames: Frames
    features: NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A video's verdict and the evidence for it.

    Attributes:
        verdict: of the video.
        path: the file.
        frames: as read; None after a failure.
        faces: none after a failure.
        encoder: the bundle's backbone; None where no video could be read at all.
    """

    verdict: Verdict
    path: Path | None = None
    frames: FacesFrames | None = None
    faces: tuple[JudgedFace, ...] = ()
    encoder: Encoder | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Verdicts on videos, judged one after the other while `judged` is iterated over.

    Attributes:
        bundle: that judges.
        provenance: what the bundle was trained on.
        judged: yields one result for each video as it is finished; a failed one has its reason.
    """

    bundle: Bundle
    provenance: Provenance
    judged: Iterator[Judged]
