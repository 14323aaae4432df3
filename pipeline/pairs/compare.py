"""`unmask pair`: aligns two videos, says whether their faces differ, and which one is forged.

All is computed with the file of the lower sha256 first, whatever the order of the arguments, and
swapped at the end: swapped arguments give the mirrored result to the last bit.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from data.alignment.align_files import AlignedFiles, align_files, named
from data.alignment.aligned_frames import (
    AlignedFrames,
    FacePair,
    common_shares,
    face_pairs,
    moved,
    read_aligned,
)
from data.alignment.blending import Blending, measure_blending
from data.alignment.difference import THRESHOLD, Difference, measure
from data.errors import InputError, VideoError
from data.faces.tracker import FaceFinder
from data.images.identity import source_sha256
from data.io.progress import log
from data.io.reading import unreadable
from data.video.failures import reason_of
from data.video.probe import VideoInfo, probe
from models.pairs.model import PairModel, built_in
from pipeline.pairs.judge import PairJudge, Weighing
from pipeline.pairs.result import (
    Comparison,
    FaceDifference,
    Geometry,
    NotCompared,
    PairResult,
    Pictures,
    Side,
    View,
    in_words,
    swapped,
)
from pipeline.shell_commands import command_line

LEAST_NAMED = 0.3
"""log10 of the told ratio, about 2, from which a side is named as the forged one."""
CLEAR = 1.5
"""Of the statistic, from which a side is named at all. Of 117 copies three are called different, at
1.22, 1.26 and 1.42, and two of them lack detail as a forgery does."""
HARDLY = (
    "The faces differ by little more than a new encoding explains, which takes detail from a real "
    "face as well: which of the two is forged cannot be told."
)
UNMEASURED = "Too little is shown around the face to say which of the two is forged."


def compare_videos(a: Path, b: Path, *, judge: PairJudge | None) -> Comparison:
    """Compares two versions of a video.

    Args:
        a: one of them.
        b: the other.
        judge: a bundle, for what it says of each alone; None for no bundle.

    Raises:
        InputError: a file is missing.
        VideoError: a video cannot be read, or shows no face.
    """
    digests = digest_of(a), digest_of(b)
    if digests[0] == digests[1]:
        info = named(a, partial(probe, a))
        sides = [side_of(path, info, digests[0], judge) for path in (a, b)]
        reason = "they are one file, byte for byte"
        result = PairResult(a=sides[0], b=sides[1], answer="alike", reason=reason, same_file=True)
        return Comparison(result=as_alike(result))
    if digests[0] < digests[1]:
        return compare_ordered(a, b, digests, judge)
    return swapped(compare_ordered(b, a, digests[::-1], judge))


def digest_of(path: Path) -> str:
    """The digest of a file, or of a folder of frames.

    Raises:
        InputError: it cannot be read, or is another folder.
    """
    try:
        return source_sha256(path)
    except OSError as error:
        raise unreadable(path, error) from error
    except VideoError as error:
        raise InputError(f"{path}: {error}") from error


def compare_or_not(a: Path, b: Path, *, judge: PairJudge | None) -> Comparison | NotCompared:
    """As `compare_videos`, for one of many: a video that cannot be compared ends nothing."""
    try:
        return compare_videos(a, b, judge=judge)
    except VideoError as error:
        return NotCompared(failure=error.failure, message=reason_of(error))


def compare_ordered(
    a: Path, b: Path, digests: tuple[str, str], judge: PairJudge | None
) -> Comparison:
    """Compares two files, that of the lower digest first; errors as `compare_videos`."""
    log.info("aligning the two videos")
    files = align_files(a, b)
    sides = tuple(
        side_of(path, info, sha256, judge)
        for path, info, sha256 in zip(files.paths, files.infos, digests, strict=True)
    )
    found = files.alignment
    if not found.one_scene:
        result = PairResult(a=sides[0], b=sides[1], answer="other scene", reason=found.reason)
        return Comparison(result=result)
    frames = read_aligned(files)
    compared = faces_of(files, frames)
    pair, difference = compared[0][1:]
    result = PairResult(
        a=sides[0],
        b=sides[1],
        answer="alike",
        reason=difference_in_words(difference),
        geometry=geometry_of(files, frames),
        faces=tuple(
            FaceDifference(
                face=number,
                inside=float(one.inside.mean()),
                expected=float(one.expected.mean()),
                surroundings=one.surroundings,
                statistic=one.statistic,
                threshold=THRESHOLD,
                frames=len(one.inside),
            )
            for number, _, one in compared
        ),
    )
    if judge is not None:
        result = with_scores(result, judge.weigh(frames, pair))
    if difference.statistic <= THRESHOLD:
        blending, result = None, as_alike(result)
    else:
        blending = measure_blending(pair, frames.consecutive)
        result = as_different(
            result, blending, model_of(judge), clear=difference.statistic >= CLEAR
        )
    return Comparison(result=result, pictures=pictures_of(frames, pair, difference, blending))


def side_of(path: Path, info: VideoInfo, sha256: str, judge: PairJudge | None) -> Side:
    """Facts about a file."""
    return Side(
        video=str(path),
        sha256=sha256,
        width=info.width,
        height=info.height,
        fps=info.fps,
        duration_seconds=info.duration_seconds,
        trained=() if judge is None else judge.trained_on(sha256),
        measured=sha256 in model_of(judge).sha256s,
    )


def as_alike(result: PairResult) -> PairResult:
    """Of two that are alike, neither tells more than the other: the ratio is 1."""
    return replace(
        result,
        answer="alike",
        log10_lr=0.0,
        log10_lr_low=0.0,
        log10_lr_high=0.0,
        likelihood=in_words(0.0),
        origin="Nothing in the faces tells the two apart.",
    )


def faces_of(files: AlignedFiles, frames: AlignedFrames) -> list[tuple[int, FacePair, Difference]]:
    """Number, crops and difference of every face, the one that differs most first.

    Raises:
        VideoError: no_face: none, or none with enough of its surroundings in both.
    """
    try:
        pairs = face_pairs(frames, FaceFinder())
    except VideoError as error:
        a, b = files.paths
        raise VideoError(error.failure, f"{a} and {b}, in their common time: {error}") from error
    found = [
        (number, pair, difference)
        for number, pair in enumerate(pairs, start=1)
        if (difference := measure(pair)) is not None
    ]
    if not found:
        a, b = files.paths
        raise VideoError("no_face", f"{a} and {b} have no whole face in common to compare")
    return sorted(found, key=lambda one: -one[2].statistic)


def geometry_of(files: AlignedFiles, frames: AlignedFrames) -> Geometry:
    """How the files are aligned."""
    found, (start, stop) = files.alignment, files.span
    common = common_shares(frames)
    return Geometry(
        lag_seconds=found.lag_seconds,
        common_seconds=stop - start,
        scale=found.scale,
        mirrored=found.mirrored,
        inliers=found.inliers,
        movement=found.movement,
        common_a=common[0],
        common_b=common[1],
    )


def difference_in_words(difference: Difference) -> str:
    """Whether faces differ, in words."""
    inside, expected = difference.inside.mean(), difference.expected.mean()
    numbers = (
        f"the faces differ by {inside:.1f} grey levels, of which {expected:.1f} are as around them"
    )
    if difference.statistic > THRESHOLD:
        return f"one scene; {numbers}: more than encoding anew explains"
    return f"one scene; {numbers}: no more than encoding anew explains"


def with_scores(result: PairResult, weighing: Weighing) -> PairResult:
    """Each side with what the bundle says of it alone."""
    sides = [
        replace(
            side,
            probability_fake=one.probability_fake,
            log10_lr=one.weighed.log10_lr,
            novelty=one.weighed.novelty,
        )
        for side, one in zip((result.a, result.b), weighing.sides, strict=True)
    ]
    return replace(result, a=sides[0], b=sides[1], notes=weighing.notes)


def model_of(judge: PairJudge | None) -> PairModel:
    """What gives the likelihood ratio of a loss of detail."""
    return built_in() if judge is None else judge.model


def as_different(
    result: PairResult, blending: Blending | None, model: PairModel, *, clear: bool
) -> PairResult:
    """Of two that differ: with the likelihood ratio, where they clearly do and it was measured."""
    if blending is None:
        return replace(result, answer="different", origin=UNMEASURED)
    if not clear:
        return replace(result, answer="different", origin=HARDLY, lost_detail=blending.lost)
    value, low, high = model.log10_lr(blending.lost)
    return replace(
        result,
        answer="different",
        lost_detail=blending.lost,
        log10_lr=value,
        log10_lr_low=low,
        log10_lr_high=high,
        likelihood=in_words(value),
        forged="A" if value >= LEAST_NAMED else "B" if value <= -LEAST_NAMED else None,
        origin=model.origin,
    )


def pictures_of(
    frames: AlignedFrames, pair: FacePair, difference: Difference, blending: Blending | None
) -> Pictures:
    """What the page shows."""
    middle = len(frames.one) // 2
    box = pair.boxes[middle : middle + 1]
    boxes = (box, moved(box, frames.matrix))
    views = [
        View(
            still=pixels[middle],
            box=(float(b[0, 0]), float(b[0, 1]), float(b[0, 2]), float(b[0, 3])),
            crops=crops,
            times_seconds=times,
        )
        for pixels, b, crops, times in zip(
            (frames.one, frames.two),
            boxes,
            (pair.one, pair.two),
            (frames.times_one, frames.times_two),
            strict=True,
        )
    ]
    return Pictures(
        a=views[0],
        b=views[1],
        excess=difference.excess,
        lasting=difference.lasting,
        inside=difference.inside,
        expected=difference.expected,
        lost=None if blending is None else blending.where,
    )


def pair_command(a: Path, b: Path, *, bundle: Path | None, report: Path) -> str:
    """The command that writes the same page."""
    given = () if bundle is None else ("--bundle", bundle)
    return command_line("unmask", "pair", a, b, *given, "--report", report)
