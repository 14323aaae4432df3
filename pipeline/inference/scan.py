"""`unmask scan`: a folder of thousands of videos scored and ranked; an interrupted scan resumes.

Chunk by chunk: digest, embed what the store lacks, score, write to the journal. The store keeps
each finished video at once and the journal each finished chunk, so nothing is embedded twice.
Memory holds one chunk and about two kilobytes for each video.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.io.atomic_files import as_csv, write_text
from data.io.output_paths import check_out_folder
from data.io.progress import log, progress
from data.pixels_version import PIXELS_VERSION
from features.store.feature_set import SEEN_IN_VALIDATION, Failure, write_failures
from features.store.layout import STORE
from models.backbones.fingerprint import file_sha256
from models.bundle import Bundle
from models.records import BUNDLE_RECORD
from pipeline.extraction.inputs import is_one_video, named_videos
from pipeline.inference.provenance import Provenance, provenance_of, warn_about
from pipeline.inference.scan_journal import Journal, Row, check_scan_folder, stamp_of, write_record
from pipeline.inference.scan_result import Scan, ScanRun, Scored
from pipeline.inference.scan_scorer import Scorer, Video
from pipeline.inference.weighing import Weighed, weigh
from pipeline.leakage import training_leaks
from pipeline.machine import cores
from pipeline.shell_commands import command_line

Render = Callable[[Bundle, Scan], str]
"""Makes the page of a scan."""

CHUNK = 256
"""Videos from one write to the journal to the next: memory holds so many, and a kill repeats the
scoring of at most so many, never their embedding."""
SHOW_SECONDS = 60.0
"""How often a running scan writes its page."""
SHOW_GROWTH = 1.05
"""By which factor the finished videos must grow before the tables are written again: they are as
long as the scan, and each minute those of a day and 100,000 videos would be ten gigabytes."""


def scan_folder(
    bundle: Path,
    folder: Path,
    out: Path,
    *,
    store: Path,
    retry: bool,
    workers: int | None,
    render: Render,
    images: bool = False,
) -> ScanRun:
    """Scores every video below a folder, and writes the scan's folder.

    The arguments are the command's; `render` makes the page, each minute and at the end.

    Raises:
        InputError: no folder, or no video in it.
        OutputError: `out` holds something else, or cannot be written.
        LockedError: another process writes to `out` or to the store.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give a folder of videos")
    if is_one_video(folder):
        raise InputError(
            f"{folder} is one video, a folder of its frames; judge it with unmask predict"
        )
    check_scan_folder(out)
    check_out_folder(store)
    videos = [
        Video(name=name, folder=folder, stamp=stamp_of(path))
        for name, path, _ in named_videos(folder, None, images=images)
    ]
    opened = Bundle.load(bundle)
    warn_about(opened)
    inputs = {
        "bundle_sha256": file_sha256(bundle / BUNDLE_RECORD),
        "folder": str(folder.resolve()).encode("utf-8", "backslashreplace").decode(),
    }
    other_store = () if store == STORE else ("--store", store)
    more = ("--images",) if images else ()
    command = command_line(
        "unmask", "scan", bundle, folder.resolve(), "-o", out, *other_store, *more
    )
    provenance = provenance_of(opened, bundle)
    with Journal(out, inputs) as journal:

        def snapshot() -> Scan:
            rows = [row for one in videos if (row := row_of(one, journal)) is not None]
            return rank(opened, rows, len(videos), inputs["folder"], command, provenance)

        todo = [one for one in videos if not is_done(one, journal, retry)]
        older = sum(is_outdated(journal.rows.get(one.name)) for one in todo)
        if older:
            log.warning(
                f"{older} of these videos were read with another pixels version; they are read anew"
            )
        shown, tabled = time.monotonic(), 0
        bar = progress(
            desc="scan",
            total=sum(one.stamp[0] for one in todo if one.stamp) / 1e6,
            show=bool(todo),
            bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} MB [{elapsed}<{remaining}{postfix}]",
        )
        with Scorer(opened, store, workers or cores()) as scorer, bar:
            rows = (journal.rows.get(one.name) for one in videos)
            scorer.begin(row.sha256 for row in rows if row and row.sha256 and not row.failure)
            for start in range(0, len(todo), CHUNK):
                journal.add(scorer.chunk(todo[start : start + CHUNK], bar))
                bar.set_postfix_str(f"{min(start + CHUNK, len(todo))} of {len(todo)} videos")
                if time.monotonic() - shown > SHOW_SECONDS:
                    scan = snapshot()
                    finished = len(scan.scored) + len(scan.failures)
                    if finished >= tabled * SHOW_GROWTH:
                        write_tables(out, scan)
                        tabled = finished
                    write_page(opened, out, scan, inputs, render)
                    shown = time.monotonic()
            scorer.finish()
        scan = snapshot()
        write_tables(out, scan)
        write_page(opened, out, scan, inputs, render)
    known = len(videos) - len(todo)
    return ScanRun(scan=scan, out=out, known=known, embedded=scorer.embedded)


def is_done(video: Video, journal: Journal, retry: bool) -> bool:
    """Whether an earlier run finished this very file."""
    row = row_of(video, journal)
    return row is not None and row.stamp is not None and not (retry and row.failure is not None)


def row_of(video: Video, journal: Journal) -> Row | None:
    """The journal's row of this very file, or of a file that is still missing."""
    row = journal.rows.get(video.name)
    return None if row is None or row.stamp != video.stamp or is_outdated(row) else row


def is_outdated(row: Row | None) -> bool:
    """Whether another pixels version read this video, so that its score may differ now."""
    return row is not None and row.pixels_version != PIXELS_VERSION


def rank(
    bundle: Bundle,
    rows: Sequence[Row],
    videos: int,
    folder: str,
    command: str,
    provenance: Provenance,
) -> Scan:
    """Gives each scored row its verdict and ranks them."""
    for_images = bundle.for_one_image() if any(row.image for row in rows) else None

    def weighed(row: Row, probability_fake: float) -> Weighed:
        judge = for_images if row.image and for_images is not None else bundle
        return weigh(judge.head, probability_fake, row.novelty, unsure_reason=judge.unsure_reason)

    scored = [
        Scored(row=row, weighed=weighed(row, row.probability_fake))
        for row in rows
        if row.probability_fake is not None
    ]
    scored.sort(key=lambda one: (-float(one.row.probability_fake or 0), one.row.path))
    return Scan(
        folder=folder,
        videos=videos,
        scored=scored,
        failures=sorted((row for row in rows if row.failure is not None), key=lambda one: one.path),
        command=command,
        provenance=provenance,
    )


def write_tables(out: Path, scan: Scan) -> None:
    """Writes the files with a row for each video."""
    header = ("rank", "path", "verdict", "probability_fake", "frames_used", "faces_found",
              "size_bytes", "sha256", "reason", "log10_lr", "log10_lr_low", "log10_lr_high",
              "novelty", "image")  # fmt: skip
    rows = (
        (rank, one.row.path, one.verdict, f"{one.row.probability_fake:.9g}", one.row.frames_used,
         one.row.faces_found, one.row.stamp[0] if one.row.stamp else "", one.row.sha256,
         one.weighed.reason or "", *map(cell, (one.weighed.log10_lr, one.weighed.log10_lr_low,
         one.weighed.log10_lr_high, one.weighed.novelty)), "yes" if one.row.image else "")
        for rank, one in enumerate(scan.scored, start=1)
    )  # fmt: skip
    write_text(out / "scores.csv", as_csv(header, rows))
    failures = (
        Failure(path=row.path, failure=str(row.failure), message=str(row.message), stderr_tail="")
        for row in scan.failures
    )
    write_failures(out / "failures.csv", failures)


def cell(value: float | None) -> str:
    """A number for a table, or nothing."""
    return "" if value is None else f"{value:.6g}"


def write_page(
    bundle: Bundle, out: Path, scan: Scan, inputs: dict[str, str], render: Render
) -> None:
    """Writes the files whose size does not depend on the number of videos: page and record."""
    write_text(out / "scan.html", render(bundle, scan))
    facts: dict[str, Any] = {**inputs, **scan.summary, "threshold": bundle.head.threshold}
    if bundle.pixels_note:
        facts["pixels_note"] = bundle.pixels_note
    if leaks := training_leaks(bundle):
        facts[SEEN_IN_VALIDATION] = "; ".join(leaks)
    write_record(out, facts)
