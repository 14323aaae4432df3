"""Commands that judge new videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.io.progress import log
from pipeline.cli.console import show, show_json
from pipeline.cli.options import (
    PARTLY_FAILED,
    BundleArgument,
    ImagesOption,
    JsonOption,
    WorkersOption,
    command,
)

if TYPE_CHECKING:
    from pipeline.inference.provenance import Provenance
    from pipeline.inference.scan_result import ScanRun, Scored
    from pipeline.inference.verdict import FaceVerdict, Verdict

commands = typer.Typer()

CASE = "Case file"
"""Heading of its options."""

TOP = 10
"""Videos, and reasons of failures, that `scan` prints."""


@command(commands, panel="Verdicts", codes=(12,))
def predict(
    bundle: BundleArgument,
    videos: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="VIDEO",
            help="Videos, images, folders of frames, or folders of these.",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="PAGE_OR_DIR",
            help="Page to write; for several videos, a folder of pages.",
        ),
    ] = None,
    prior: Annotated[
        float | None,
        typer.Option(
            "--prior", min=0, max=1, help="Share of fakes among such videos: adds P(fake) from it."
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="A",
            help="Another version of these videos to compare each with, as `pair` does.",
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            "--box",
            metavar="X,Y,W,H[@SECONDS]",
            help="Judge the face in this box, in pixels, of one video instead of the largest.",
        ),
    ] = None,
    case: Annotated[
        Path | None,
        typer.Option(
            "--case",
            metavar="FOLDER",
            help="Case file to write: page, record, faces, manifest; for several videos, a folder "
            "of them.",
            rich_help_panel=CASE,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="NAME", help="Who makes the case.", rich_help_panel=CASE),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="When, with its time zone; default: now, UTC.",
            rich_help_panel=CASE,
        ),
    ] = None,
    images: ImagesOption = False,
    json_: JsonOption = False,
    workers: WorkersOption = None,
) -> None:
    """Print a verdict on each video and face: REAL, FAKE or UNSURE, and how likely such a score is.

    Example: unmask predict bundle interview.mp4 --report interview.html
    """
    from data.faces.given_box import GivenBox
    from pipeline.extraction.inputs import refuse_without_decoder
    from pipeline.inference.predict import (
        list_videos,
        predict_command,
        predict_videos,
        refuse_without_bundle,
    )
    from pipeline.inference.verdict_files import PageFiles

    refuse_without_bundle(bundle, videos := videos or [])
    given = None if box is None else GivenBox.parse(box)
    if reference is not None:
        from pipeline.cli.pairs import References
    listed = list_videos(videos, images=images)
    pages = None if report is None else PageFiles(report, several=len(listed) > 1)
    cases = None
    if case is not None or by is not None or at is not None:
        from pipeline.cli.cases.write import Cases

        cases = Cases(
            case,
            bundle,
            videos,
            by=by,
            at=at,
            prior=prior,
            report=report,
            reference=reference,
            box=given,
            workers=workers,
            several=len(listed) > 1,
        )
    prediction = predict_videos(bundle, listed, workers=workers, prior=prior, box=given)
    references = None if reference is None else References(reference, prediction.bundle, bundle)
    if not json_:
        show(*provenance_lines(prediction.provenance, f"bundle {bundle}"))
    verdicts = []
    for judged in prediction.judged:
        verdict = judged.verdict
        verdicts.append(verdict)
        lines, page = verdict_lines(verdict), None
        draw = None
        if judged.path is not None and (pages is not None or cases is not None):
            from pipeline.cli.cases.page import VerdictPage

            draw = VerdictPage.of(prediction, judged)
        if report is not None and pages is not None:
            if draw is None or judged.path is None:
                lines.append("  no page: there is no verdict to show")
            else:
                again = predict_command(bundle, judged.path, report, prior, reference, given)
                page = pages.write(verdict.video, verdict.sha256, draw(again))
                lines.append(f"  page: {page}")
        if cases is not None:
            told = ["  no case: there is no verdict"] if draw is None else cases.write(draw)
            lines += told
            if json_:  # the seal must be told somewhere
                log.info(f"{verdict.video}:{','.join(told)}")
        if references is not None and judged.path is not None:
            lines += references.compare(verdict.video, judged.path, page)
        if not json_:
            show(*lines)
    if json_:
        # As declared, so that the warning stands before the verdict.
        found = sorted(verdicts, key=lambda one: one.video)
        rows = found if references is None else [references.with_reference(one) for one in found]
        show_json(rows, sort_keys=False)
    if cases is not None:
        cases.check()
    refuse_without_decoder([(one.failure, one.message) for one in verdicts])
    if any(one.verdict is None for one in verdicts):
        raise typer.Exit(PARTLY_FAILED)


def provenance_lines(provenance: Provenance, name: str) -> list[str]:
    """What the bundle was trained on, after the warning where there is one."""
    warning = [] if provenance.warning is None else [provenance.warning.upper()]
    return [*warning, f"{name}: {provenance.line}"]


def verdict_lines(verdict: Verdict) -> list[str]:
    """One line for the video, one for each further face, and the note on its picture."""
    if verdict.verdict is None:
        return [f"{verdict.video}: no verdict: {verdict.failure}: {verdict.message}"]
    looked = f"{verdict.frames_used} frames, face seen in {verdict.faces_found}"
    if verdict.kind == "image":
        looked = "one image"
    lines = [
        f"{verdict.video}: {verdict.verdict}  P(fake) {verdict.probability_fake:.3f}"
        f"{interval(verdict.faces[0])}, threshold {verdict.threshold:.3f}, {looked}"
    ]
    if verdict.source_note is not None:
        lines.append(f"  {verdict.source_note}")
    lines += evidence_lines(verdict)
    lines += [
        f"  face {one.face}{when(verdict, one)}: {one.verdict}  "
        f"P(fake) {one.probability_fake:.3f}{interval(one)}{how_many(verdict, one)}"
        f"{face_evidence(one)}"
        for one in verdict.faces[1:]
    ]
    return lines + ([f"  {verdict.picture_note}"] if verdict.picture_note else [])


def when(verdict: Verdict, face: FaceVerdict) -> str:
    """When a face is there; nothing in an image."""
    if verdict.kind == "image":
        return ""
    return f", {face.start_seconds:.1f} to {face.end_seconds:.1f} s"


def how_many(verdict: Verdict, face: FaceVerdict) -> str:
    """In how many frames it was looked at; nothing in an image."""
    return "" if verdict.kind == "image" else f", {face.frames_used} frames"


def evidence_lines(verdict: Verdict) -> list[str]:
    """The likelihood ratio, why the verdict is UNSURE, and P(fake) from a prior, if any."""
    from models.evaluation.likelihood_ratio import interval_in_words

    lines = []
    if verdict.likelihood is not None:
        span = interval_in_words(verdict.log10_lr_low, verdict.log10_lr_high)
        lines.append(f"  {verdict.likelihood} ({span})")
    if verdict.reason is not None:
        lines.append(f"  UNSURE: {verdict.reason}")
    if verdict.posterior_fake is not None:
        lines.append(f"  from a prior of {verdict.prior:g}: P(fake) {verdict.posterior_fake:.3g}")
    return lines


def face_evidence(face: FaceVerdict) -> str:
    """The same of a further face, in few words."""
    from models.evaluation.likelihood_ratio import ratio_in_words

    told = "" if face.log10_lr is None else f", LR {ratio_in_words(face.log10_lr)}"
    return told + ("" if face.reason is None else f"; {face.reason}")


def interval(face: FaceVerdict) -> str:
    """The interval in brackets; empty for few frames."""
    if face.probability_low is None or face.probability_high is None:
        return ""
    return f" ({face.probability_low:.2f} to {face.probability_high:.2f})"


@command(commands, panel="Verdicts", codes=(11, 12))
def scan(
    bundle: BundleArgument,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of videos, searched at any depth.")
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="DIR", help="Folder to write, or of a scan to resume."),
    ],
    store: Annotated[Path, typer.Option(metavar="DIR", help="Store of finished features.")] = Path(
        ".unmask/store"
    ),
    images: ImagesOption = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try again the videos that failed in an earlier run.")
    ] = False,
    json_: JsonOption = False,
    workers: WorkersOption = None,
) -> None:
    """Score and rank all videos of a folder; an interrupted scan resumes.

    Example: unmask scan bundle archive -o scan
    """
    from pipeline.inference.scan import scan_folder
    from pipeline.reporting.scan_page import render_scan

    result = scan_folder(
        bundle,
        folder,
        out,
        store=store,
        retry=retry,
        workers=workers,
        render=render_scan,
        images=images,
    )
    if json_:
        show_json(result.to_json(), sort_keys=False)
    else:
        show(*scan_lines(result))
    result.check_failures()
    if result.scan.failures:
        raise typer.Exit(PARTLY_FAILED)


def scan_lines(result: ScanRun) -> list[str]:
    """The counts, the highest scores, why videos failed, and where all rows are."""
    from data.video.picture import resized_note
    from models.applicability.novelty import REASON

    scan, out = result.scan, result.out
    counts, reasons = scan.summary, scan.reasons
    failed = ", ".join(f"{name} {count}" for name, count in counts["failed"].items())
    lines = [
        *provenance_lines(scan.provenance, "bundle"),
        f"{out}: {counts['videos']} videos, {counts['FAKE']} FAKE, {counts['UNSURE']} UNSURE, "
        f"{counts['REAL']} REAL, {len(scan.failures)} failed{f' ({failed})' if failed else ''}; "
        f"{result.known} known from an earlier run, {result.embedded} embedded now",
    ]
    if scan.images:
        lines.append(f"{scan.images} of them are single images, each judged by itself")
    if scan.novel:
        lines.append(f"{scan.novel} of the UNSURE are {REASON}")
    if scan.resized:
        lines.append(resized_note(scan.resized))
    lines += [
        f"{one.row.probability_fake:.3f}  {one.verdict:6}  {one.row.path}{why(one)}"
        for one in scan.scored[:TOP]
    ]
    lines += [f"failed: {reason.words}" for reason in reasons[:TOP]]
    if len(reasons) > TOP:
        lines.append(f"failed: {len(reasons)} reasons in all, see {out / 'failures.csv'}")
    return [*lines, f"table: {out / 'scores.csv'}, page: {out / 'scan.html'}"]


def why(one: Scored) -> str:
    """Why a video is UNSURE, in brackets; empty for the others."""
    return "" if one.weighed.reason is None else f"  ({one.weighed.reason})"
