"""`unmask predict`: a verdict on each video, by the frames, backbone and head of the training.

Every lasting face is scored. The verdict is that of the largest one, as the bundle was trained;
those of the others stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.datasets.digests import DigestCache
from data.errors import ConfigError, InputError, VideoError
from data.faces.crops import Frames
from data.faces.given_box import GivenBox
from data.faces.multi_face import FacesFrames, read_every_face
from data.faces.tracker import FaceFinder
from data.faces.tracks import jumps
from data.images.formats import is_image
from data.io.progress import log
from data.video.failures import with_reason
from data.video.frames import FrameRecipe
from data.video.picture import on_one_scale, size_note
from features.extraction.batches import Encoder, LoadableEncoder
from features.extraction.engine import embed_videos
from features.extraction.job import Embedded
from features.store.feature_set import Failure
from models.applicability.one_image import NO_JUDGE
from models.bundle import Bundle
from models.evaluation.likelihood_ratio import posterior
from models.explanation.occlusion import HeatMap, heat_map
from models.explanation.score_interval import INTERVAL_LEVEL, score_interval
from pipeline.extraction.feature_spec import scoring_recipe
from pipeline.extraction.inputs import make_jobs, named_videos, no_source
from pipeline.inference.provenance import Provenance, provenance_of, warn_about
from pipeline.inference.sources import source_of
from pipeline.inference.verdict import (
    FaceVerdict,
    Judged,
    JudgedFace,
    Prediction,
    Verdict,
)
from pipeline.inference.weighing import check_prior, novelties, weigh
from pipeline.machine import cores
from pipeline.shell_commands import command_line

OnStage = Callable[[str, float | None], None]
"""Is told what becomes of a video, and the share of that which is done."""

NO_DETECTOR = (
    "unmask ships no detector: none that was trained so far is good enough on people and forgery "
    "programs that it never saw (docs/transfer.md)"
)
"""What `make starter` decided; see `benchmarks/starter.py` for what a detector must reach."""


def refuse_without_bundle(bundle: Path, videos: Sequence[Path]) -> None:
    """Raises InputError where the first path is a video, or is the only one."""
    if bundle.is_file() or not (videos or bundle.is_dir()):
        again = command_line("unmask", "predict", "BUNDLE", bundle, *videos)
        log.warning(NO_DETECTOR)
        raise InputError(
            f"no bundle was given: train one on videos like yours (docs/train.md), then: {again}"
        )
    if not videos:
        raise InputError(f"no video was given: {command_line('unmask', 'predict', bundle)} VIDEO")


def list_videos(paths: Sequence[Path], *, images: bool = False) -> list[tuple[str, Path]]:
    """Name and path of each video: a file is named by its path, as is one in a folder.

    A folder of numbered images is one video; `images` takes single images in folders, too, which
    are taken anyway where they are named themselves.

    Raises:
        InputError: a path is missing, or a folder holds no video.
    """
    missing = [path for path in paths if not (path.is_dir() or path.is_file())]
    if missing:
        raise no_source(missing[0], "videos or folders of videos")
    return [
        (str(source) if path == source else str(source / name), path)
        for source in paths
        for name, path, _ in named_videos(source, None, images=images)
    ]


def predict_videos(
    folder: Path,
    videos: Sequence[tuple[str, Path]],
    *,
    workers: int | None,
    prior: float | None = None,
    box: GivenBox | None = None,
) -> Prediction:
    """Loads a bundle; the videos are judged as the result's verdicts are taken.

    `videos` are as `list_videos` returns them; `workers` None takes the cores; `prior` is the share
    of fakes among such videos; `box` points at the face to judge, in the only video.

    Raises:
        ConfigError: there is a prior, and the bundle has no likelihood ratios; or a box, and
            several videos or a bundle that reads no faces.
    """
    bundle = Bundle.load(folder)
    check_prior(bundle, prior)
    if box is not None and len(videos) > 1:
        raise ConfigError("--box points at a face of one video; give one video")
    warn_about(bundle)
    return predict_with(
        bundle, provenance_of(bundle, folder), videos, workers=workers, prior=prior, box=box
    )


def predict_with(
    bundle: Bundle,
    provenance: Provenance,
    videos: Sequence[tuple[str, Path]],
    *,
    workers: int | None = None,
    prior: float | None = None,
    box: GivenBox | None = None,
    encoder: LoadableEncoder | None = None,
    on_stage: OnStage | None = None,
) -> Prediction:
    """As `predict_videos`, with a bundle, and perhaps its encoder, that were loaded before.

    `on_stage` is called with what becomes of a video ("decoding", "faces", "backbone") and with the
    share of it that is done, from 0 to 1, where that is known.
    """
    if box is not None and FrameRecipe.from_json(bundle.recipe["frames"]).crop != "face":
        raise ConfigError("--box points at a face, and this bundle reads the middle of the picture")

    def judged() -> Iterator[Judged]:
        for one in judge(
            bundle, videos, workers or cores(), box=box, encoder=encoder, on_stage=on_stage
        ):
            verdict = replace(
                one.verdict,
                warning=provenance.warning,
                training=provenance.line,
                prior=prior,
                posterior_fake=posterior_of(one.verdict, prior),
                given_box=None if box is None else str(box),
            )
            yield replace(one, verdict=verdict)

    return Prediction(bundle=bundle, provenance=provenance, judged=judged())


def posterior_of(verdict: Verdict, prior: float | None) -> float | None:
    """P(fake) from a prior; a novel video's is the prior itself. None for an image: see `weigh`."""
    if prior is None or verdict.verdict is None or verdict.kind == "image":
        return None
    return prior if verdict.log10_lr is None else posterior(verdict.log10_lr, prior)


def predict_command(
    bundle: Path,
    video: Path,
    report: Path,
    prior: float | None = None,
    reference: Path | None = None,
    box: GivenBox | None = None,
) -> str:
    """The command that writes the same page."""
    given = [] if prior is None else ["--prior", str(prior)]
    given += [] if box is None else ["--box", str(box)]
    beside = () if reference is None else ("--reference", reference)
    return command_line("unmask", "predict", bundle, video, *given, *beside, "--report", report)


def judge(
    bundle: Bundle,
    videos: Sequence[tuple[str, Path]],
    workers: int,
    *,
    box: GivenBox | None = None,
    encoder: LoadableEncoder | None = None,
    on_stage: OnStage | None = None,
) -> Iterator[Judged]:
    """Reads, embeds and scores videos, in the order in which they are finished.

    Arguments are those of `predict_with`.

    Yields:
        One result for each video; for one that failed, the reason.
    """
    frames, recipe = scoring_recipe(bundle.recipe)
    jobs, failures = make_jobs([(*one, None) for one in videos], DigestCache())
    for failure in failures:
        yield no_verdict(failure, None, bundle.head.threshold)
    images = {job.path for job in jobs if is_image(job.path)}
    for_images = bundle.for_one_image() if images else None
    encoder = encoder or bundle.encoder(recipe.precision)
    finder = FaceFinder() if frames.crop == "face" else None
    tell = on_stage or (lambda _stage, _share: None)

    def read(path: Path) -> FacesFrames:
        tell("decoding", None)
        if for_images is None and path in images:
            raise VideoError("too_few_frames", NO_JUDGE)
        found = read_every_face(
            path,
            frames,
            finder=finder,
            box=box,
            when_read=None if on_stage is None else partial(tell, "decoding"),
            when_decoded=partial(tell, "faces", None),
        )
        tell("backbone", None)
        return found

    for result in embed_videos(
        jobs,
        read=read,
        encoder=encoder,
        workers=workers,
        meanwhile=encoder.load,
    ):
        if result.failure is not None:
            yield no_verdict(result.failure, result.job.sha256, bundle.head.threshold)
        else:
            judged_by = for_images if result.job.path in images else None
            yield judge_video(judged_by or bundle, result, frames, recipe.dtype, encoder)


def judge_video(
    bundle: Bundle, result: Embedded, recipe: FrameRecipe, dtype: str, encoder: Encoder
) -> Judged:
    """Scores every face of an embedded video."""
    assert isinstance(result.frames, FacesFrames)  # noqa: S101
    assert result.features is not None  # noqa: S101
    job, tracks = result.job, result.frames.faces
    ends = np.cumsum([len(one.pixels) for one in tracks])[:-1]
    parts = np.split(result.features.astype(dtype), ends)
    clip_length = recipe.clip_length if recipe.policy == "clip" else None
    faces = tuple(
        judge_face(bundle, number, one, features, clip_length=clip_length)
        for number, (one, features) in enumerate(zip(tracks, parts, strict=True), start=1)
    )
    main = faces[0].verdict
    kind, note = source_of(job.path, bundle)
    return Judged(
        verdict=Verdict(
            video=job.name,
            kind=kind,
            verdict=main.verdict,
            reason=main.reason,
            probability_fake=main.probability_fake,
            threshold=bundle.head.threshold,
            log10_lr=main.log10_lr,
            log10_lr_low=main.log10_lr_low,
            log10_lr_high=main.log10_lr_high,
            likelihood=main.likelihood,
            novelty=main.novelty,
            frames_used=main.frames_used,
            faces_found=main.faces_found,
            sha256=job.sha256,
            faces=tuple(one.verdict for one in faces),
            pixels_note=bundle.pixels_note or None,
            picture_note=size_note(tracks[0].shown, tracks[0].timestamps_seconds) or None,
            source_note=note,
        ),
        path=job.path,
        frames=result.frames,
        faces=faces,
        encoder=encoder,
        bundle=bundle,
    )


def judge_face(
    bundle: Bundle,
    number: int,
    frames: Frames,
    features: NDArray[np.floating],
    *,
    clip_length: int | None,
) -> JudgedFace:
    """Scores one face: (T, D) features, rounded as the store rounds them."""
    times = frames.timestamps_seconds
    score = score_interval(bundle.head, features, times, clip_length=clip_length)
    (novelty,) = novelties(bundle, features.mean(0, dtype=np.float64)[None])
    weighed = weigh(
        bundle.head, score.probability_fake, novelty, unsure_reason=bundle.unsure_reason
    )
    x0, y0, x1, y1 = (float(one) for one in frames.boxes[len(frames.boxes) // 2])
    verdict = FaceVerdict(
        face=number,
        verdict=weighed.verdict,
        probability_fake=score.probability_fake,
        probability_low=score.low,
        probability_high=score.high,
        interval_level=None if score.low is None else INTERVAL_LEVEL,
        agreement=score.agreement,
        frames_used=len(frames.pixels),
        faces_found=int(frames.face_found.sum()),
        start_seconds=float(times[0]),
        end_seconds=float(times[-1]),
        jumps=jumps(on_one_scale(frames.boxes, frames.shown)),
        box=(x0, y0, x1, y1),
        reason=weighed.reason,
        log10_lr=weighed.log10_lr,
        log10_lr_low=weighed.log10_lr_low,
        log10_lr_high=weighed.log10_lr_high,
        likelihood=weighed.likelihood,
        novelty=weighed.novelty,
    )
    return JudgedFace(verdict=verdict, score=score, frames=frames, features=features)


def no_verdict(failure: Failure, sha256: str | None, threshold: float) -> Judged:
    """The result of a video that failed: its reason."""
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


def heat_maps(judged: Judged) -> dict[int, HeatMap]:
    """Number of a face -> its heat map; takes some seconds for each."""
    assert judged.encoder is not None  # noqa: S101 - a video with a verdict was embedded
    assert judged.bundle is not None  # noqa: S101 - likewise
    head = judged.bundle.head
    return {
        one.verdict.face: heat_map(head, judged.encoder, one.frames.pixels, one.features)
        for one in judged.faces
    }
