"""`unmask predict`: a verdict for each video, by the frames, backbone and head of the training.

Every lasting face is scored. The verdict is that of the largest one, as the bundle was trained;
what the others get stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.datasets.digests import DigestCache
from data.errors import plain
from data.faces.multi_face import FacesFrames, read_every_face
from data.faces.tracker import FaceFinder, jumps
from data.video.canvas import on_one_scale, size_note
from data.video.frames import Frames
from data.video.reasons import with_reason
from features.extraction.batches import Encoder
from features.extraction.engine import embed_videos
from features.store.feature_set import Failure
from models.backbones.encoder import make_encoder
from models.bundle import Bundle
from models.explanation.score_interval import INTERVAL_LEVEL, ScoreInterval, score_interval
from pipeline.extraction.extract import bundle_recipe, warn
from pipeline.extraction.jobs import make_jobs, named_videos, no_source, refuse_without_decoder
from pipeline.inference.provenance import provenance_of
from pipeline.inference.verdict_files import PageFiles
from pipeline.leakage import marks_of
from pipeline.machine import cores
from pipeline.shell_commands import command_line


@dataclass(frozen=True, kw_only=True)
class FaceVerdict:
    """What the bundle says of one face of a video.

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
    """What the bundle says of one video.

    Attributes:
        video: as given.
        warning: what must stand before the verdict: the bundle has seen rendered people alone;
            None where nothing must.
        training: what the bundle learnt from and how it did on held-out people, one line.
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
        pixels_note: where the bundle was trained on another pixels version than this unmask reads.
        picture_note: where the video's picture changes its size.
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
    """One face with all that its verdict stands on.

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
    """One video with all that its verdict stands on.

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


def predict_videos(
    bundle: Path,
    videos: Sequence[Path],
    *,
    as_json: bool,
    workers: int | None,
    report: Path | None = None,
) -> int:
    """Prints a verdict for each video, and writes their pages; returns how many gave none.

    Args:
        bundle: that `train` wrote.
        videos: files, or folders of them.
        as_json: print JSON.
        workers: threads that read.
        report: a page (`.html`) for one video, or a folder for a page each.

    Raises:
        InputError: a path is missing.
        ConfigError: one page is asked for, and there are several videos.
        OutputError: a page cannot be written.
        ToolError: there is no decoder for any of the videos; their lines are printed.
    """
    missing = [path for path in videos if not (path.is_dir() or path.is_file())]
    if missing:
        raise no_source(missing[0], "videos or folders of videos")
    names = named(videos)
    pages = None if report is None else PageFiles(report, several=len(names) > 1)
    opened = Bundle.load(bundle)
    for mark in marks_of(opened):
        warn(f"this bundle: {mark}")
    warn(opened.pixels_note)
    provenance = provenance_of(opened, bundle)
    verdicts, written = [], {}
    for judged in judge(opened, names, workers or cores()):
        found = replace(judged.verdict, warning=provenance.warning, training=provenance.line)
        verdicts.append(found)
        if pages is not None and judged.faces:
            from pipeline.reporting.verdict_page import render_verdict

            text = render_verdict(
                opened, judged, command=command(bundle, judged.path, report), provenance=provenance
            )
            written[found.video] = pages.write(found.video, found.sha256, text)
    verdicts.sort(key=lambda one: one.video)
    if as_json:
        print(json.dumps([asdict(one) for one in verdicts], indent=2))
    else:
        lines = [f"bundle {bundle}: {provenance.line}"]
        if provenance.warning is not None:
            lines.insert(0, provenance.warning.upper())
        for one in verdicts:
            lines += told(one)
            if one.video in written:
                lines.append(f"  page: {written[one.video]}")
            elif pages is not None:
                lines.append("  no page: there is no verdict to show")
        print("\n".join(plain(line) for line in lines))
    refuse_without_decoder([(one.failure, one.message) for one in verdicts])
    return sum(one.verdict is None for one in verdicts)


def named(videos: Sequence[Path]) -> list[tuple[str, Path]]:
    """Name and file of each video: a file goes by its path, one of a folder by its path in it."""
    return [
        (str(source / name) if source.is_dir() else str(source), path)
        for source in videos
        for name, path, _ in named_videos(source, None)
    ]


def command(bundle: Path, video: Path | None, report: Path | None) -> str:
    """What to type for the same page."""
    words: list[str | Path] = ["unmask", "predict", bundle]
    words += [] if video is None else [video]
    return command_line(*words, *(() if report is None else ("--report", report)))


def judge(bundle: Bundle, videos: Sequence[tuple[str, Path]], workers: int) -> Iterator[Judged]:
    """Reads, embeds and scores videos, by name and file; a bad one gives its reason."""
    frames, recipe = bundle_recipe(bundle.recipe)
    jobs, failures = make_jobs([(*one, None) for one in videos], DigestCache())
    threshold = bundle.head.threshold
    for failure in failures:
        yield no_verdict(failure, None, threshold)
    encoder = open_encoder(bundle)
    finder = FaceFinder() if frames.crop == "face" else None
    for result in embed_videos(
        jobs,
        read=partial(read_every_face, recipe=frames, finder=finder),
        encoder=encoder,
        workers=workers,
    ):
        job = result.job
        if result.failure is not None:
            yield no_verdict(result.failure, job.sha256, threshold)
            continue
        assert isinstance(result.frames, FacesFrames)  # noqa: S101
        assert result.features is not None  # noqa: S101
        ends = np.cumsum([len(one.pixels) for one in result.frames.faces])[:-1]
        parts = np.split(result.features.astype(recipe.dtype), ends)
        clip = frames.clip_length if frames.policy == "clip" else None
        faces = tuple(
            judge_face(bundle, number, one, features, clip_length=clip)
            for number, (one, features) in enumerate(
                zip(result.frames.faces, parts, strict=True), start=1
            )
        )
        main, first = faces[0].verdict, result.frames.faces[0]
        yield Judged(
            verdict=Verdict(
                video=job.name,
                verdict=main.verdict,
                probability_fake=main.probability_fake,
                threshold=threshold,
                frames_used=main.frames_used,
                faces_found=main.faces_found,
                sha256=job.sha256,
                faces=tuple(one.verdict for one in faces),
                pixels_note=bundle.pixels_note or None,
                picture_note=size_note(first.shown, first.timestamps_seconds) or None,
            ),
            path=job.path,
            frames=result.frames,
            faces=faces,
            encoder=encoder,
        )


def open_encoder(bundle: Bundle) -> Encoder:
    """The bundle's backbone, ready to run."""
    return make_encoder(bundle.load_backbone())


def judge_face(
    bundle: Bundle,
    number: int,
    frames: Frames,
    features: NDArray[np.floating],
    *,
    clip_length: int | None,
) -> JudgedFace:
    """Scores one face: (T, D) features as the store would round them."""
    times = frames.timestamps_seconds
    evidence = score_interval(bundle.head, features, times, clip_length=clip_length)
    score = evidence.probability_fake
    x0, y0, x1, y1 = (float(one) for one in frames.boxes[len(frames.boxes) // 2])
    verdict = FaceVerdict(
        face=number,
        verdict=bundle.head.calibration.verdict(score, bundle.head.threshold),
        probability_fake=score,
        probability_low=evidence.low,
        probability_high=evidence.high,
        interval_level=None if evidence.low is None else INTERVAL_LEVEL,
        agreement=evidence.agreement,
        frames_used=len(frames.pixels),
        faces_found=int(frames.face_found.sum()),
        start_seconds=float(times[0]),
        end_seconds=float(times[-1]),
        jumps=jumps(on_one_scale(frames.boxes, frames.shown)),
        box=(x0, y0, x1, y1),
    )
    return JudgedFace(verdict=verdict, evidence=evidence, frames=frames, features=features)


def no_verdict(failure: Failure, sha256: str | None, threshold: float) -> Judged:
    """A video that failed is not scored."""
    verdict = Verdict(
        video=failure.path,
        verdict=None,
        probability_fake=None,
        threshold=threshold,
        frames_used=0,
        faces_found=0,
        sha256=sha256,
        failure=failure.failure,
        message=with_reason(failure.message, failure.stderr_tail),
    )
    return Judged(verdict=verdict)


def told(verdict: Verdict) -> list[str]:
    """A verdict as one line, one more for each further face, and what is to be known of it."""
    if verdict.verdict is None:
        return [f"{verdict.video}: no verdict: {verdict.failure}: {verdict.message}"]
    lines = [
        f"{verdict.video}: {verdict.verdict}  P(fake) {verdict.probability_fake:.3f}"
        f"{spread(verdict.faces[0])}, threshold {verdict.threshold:.3f}, {verdict.frames_used} "
        f"frames, face seen in {verdict.faces_found}"
    ]
    lines += [
        f"  face {one.face}, {one.start_seconds:.1f} to {one.end_seconds:.1f} s: {one.verdict}  "
        f"P(fake) {one.probability_fake:.3f}{spread(one)}, {one.frames_used} frames"
        for one in verdict.faces[1:]
    ]
    return lines + ([f"  {verdict.picture_note}"] if verdict.picture_note else [])


def spread(face: FaceVerdict) -> str:
    """The interval in brackets, where there is one."""
    if face.probability_low is None or face.probability_high is None:
        return ""
    return f" ({face.probability_low:.2f} to {face.probability_high:.2f})"
