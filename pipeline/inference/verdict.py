"""The results of `unmask predict`: a video's verdict, and what it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.faces.crops import Frames
from data.faces.multi_face import FacesFrames
from features.extraction.batches import Encoder
from models.bundle import Bundle
from models.explanation.score_interval import ScoreInterval
from pipeline.inference.provenance import Provenance

if TYPE_CHECKING:
    from data.declared.model import Declared


@dataclass(frozen=True, kw_only=True)
class FaceVerdict:
    """The bundle's verdict on one face of a video."""

    face: int  # 1 for the largest lasting one, whose verdict is the video's
    verdict: str  # "FAKE", "REAL" or "UNSURE"
    probability_fake: float  # calibrated P(fake)
    # lower end of the interval of P(fake) over halves of the frames; None for few frames
    probability_low: float | None
    probability_high: float | None  # upper end of that interval; None for few frames
    interval_level: float | None  # of this interval, a share; None for few frames
    agreement: float | None  # share of the halves that give the same verdict; None for few frames
    frames_used: int  # embedded frames
    faces_found: int  # frames in which the detector saw it
    start_seconds: float  # when the first of its frames is shown
    end_seconds: float  # when the last is shown
    # how often it leaves its place from one frame to the next: at a cut, or where the largest face
    # becomes another person's
    jumps: int
    # x0, y0, x1, y1 of its crop in the middle of that time, in pixels of the video as shown
    box: tuple[float, float, float, float]
    reason: str | None = None  # why it is UNSURE; None for the others
    # log10 of the likelihood ratio, fake against real; None for a bundle without ratios, and for a
    # novel face
    log10_lr: float | None = None
    log10_lr_low: float | None = None  # lower end of the interval of log10_lr; None with it
    log10_lr_high: float | None = None  # upper end of the interval of log10_lr; None with it
    likelihood: str | None = None  # log10_lr in words; None with it
    # distance from the training videos, above 1 beyond those of held-out people: novel; None where
    # the bundle cannot tell
    novelty: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The bundle's verdict on one video; `--json` prints these."""

    video: str  # as given
    # "video", "frames" for a folder of them, "image" for a single one, judged by itself
    kind: str = "video"
    # shown before the verdict where the bundle was trained on rendered people alone; None for
    # others
    warning: str | None = None
    training: str = ""  # what the bundle was trained on, and its test result; one line
    # "FAKE", "REAL", or "UNSURE" for the reason below; None where the video gave no features
    verdict: str | None
    reason: str | None = None  # why it is UNSURE; None for the others
    probability_fake: float | None  # calibrated P(fake), or None
    threshold: float  # at or above it the verdict is FAKE
    # log10 of the likelihood ratio, fake against real; None for a bundle without ratios, after a
    # failure, and for a novel video
    log10_lr: float | None = None
    log10_lr_low: float | None = None  # lower end of the interval of log10_lr; None with it
    log10_lr_high: float | None = None  # upper end of the interval of log10_lr; None with it
    likelihood: str | None = None  # log10_lr in words; None with it
    novelty: float | None = None  # as that of its first face
    prior: float | None = None  # share of fakes among such videos, as given; None without one
    # P(fake) by the likelihood ratio from this prior, which stays for a novel video; or None
    posterior_fake: float | None = None
    frames_used: int  # embedded frames
    faces_found: int  # frames in which the detector saw the face
    sha256: str | None  # of the file
    failure: str | None = None  # class of the failure, or None
    message: str | None = None  # of the failure, with what ffmpeg said of it; or None
    # of every lasting face, the video's own first; none after a failure
    faces: tuple[FaceVerdict, ...] = ()
    # says that the bundle was trained on another pixels version than this unmask reads; or None
    pixels_note: str | None = None
    # X,Y,WIDTH,HEIGHT or X,Y,WIDTH,HEIGHT@SECONDS of the face that a person pointed at; or None
    given_box: str | None = None
    picture_note: str | None = None  # says that the video's picture changes its size; or None
    # how a folder of frames was understood, or which part of the bundle judged an image; or None
    source_note: str | None = None


@dataclass(frozen=True, kw_only=True)
class JudgedFace:
    """A face's verdict and what it rests on."""

    verdict: FaceVerdict
    score: ScoreInterval  # with its interval and timeline
    frames: Frames
    features: NDArray[np.floating]  # (T, D), rounded as the store rounds them


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A video's verdict and what it rests on."""

    verdict: Verdict
    path: Path | None = None
    frames: FacesFrames | None = None  # as read; None after a failure
    faces: tuple[JudgedFace, ...] = ()  # none after a failure
    # the bundle's backbone; None where no video could be read at all
    encoder: Encoder | None = None
    # that judged it: of an image, the bundle as it judges one; None after a failure
    bundle: Bundle | None = None


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What the header of a judged video says."""

    card: dict[str, str]  # for people
    # as `pipeline.evaluation.similar_videos.measured` has them; of the video's own face
    quantities: dict[str, float]
    # what it says of itself, which is no part of the verdict; None where that was not read
    declared: Declared | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Verdicts on videos, judged one after the other while `judged` is iterated over."""

    bundle: Bundle  # that judges
    provenance: Provenance  # what the bundle was trained on
    # yields one result for each video as it is finished; a failed one has its reason
    judged: Iterator[Judged]
