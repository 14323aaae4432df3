"""`unmask scan`: a folder of thousands of videos scored, ranked, and gone on with after an end.

Chunk by chunk: digest, embed what the store does not hold, score, note in the journal. The store
keeps a finished video at once and the journal a finished chunk, so that nothing is embedded twice;
memory holds one chunk and about two kilobytes for each video. Shards are cut by size and digests
are added to their file, so that what is written grows as the videos do.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from data.errors import InputError, plain
from data.io.atomic_files import write_text
from data.pixels_version import PIXELS_VERSION
from data.video.canvas import resized_note
from features.store.feature_set import Failure, write_failures
from features.store.layout import STORE
from features.store.sealing import check_store
from models.backbones.fingerprint import file_sha256
from models.bundle import Bundle
from pipeline.extraction.extract import warn
from pipeline.extraction.jobs import named_videos, refuse_without_decoder
from pipeline.inference.provenance import Provenance, provenance_of
from pipeline.inference.scan_chunk import Scorer, Video
from pipeline.inference.scan_journal import Journal, Row, check_scan_folder, stamp_of, write_record
from pipeline.inference.scan_result import Scan, Scored
from pipeline.leakage import MARK, marks_of
from pipeline.machine import cores
from pipeline.reporting.scan_page import render_scan
from pipeline.shell_commands import command_line

CHUNK = 256
"""Videos from one line in the journal's time to the next: what memory holds, what a kill repeats
in scoring, never in embedding."""
SHOW_SECONDS = 60.0
"""How often a running scan writes its page."""
SHOW_GROWTH = 1.05
"""By how much more must be finished before it writes its tables, too, whose length is that of the
scan: each minute, those of a day and 100,000 videos would be ten gigabytes."""
TOP = 10
"""Videos that are printed."""


def scan_folder(
    bundle: Path,
    folder: Path,
    out: Path,
    *,
    store: Path,
    retry: bool,
    as_json: bool,
    workers: int | None,
) -> int:
    """Scores every video below a folder; returns how many gave no verdict.

    Args:
        bundle: that `train` wrote.
        folder: of videos, however many and deep.
        out: folder of the scan: `scores.csv`, `failures.csv`, `scan.html`, `scan.json`.
        store: where features are kept.
        retry: look again at videos that failed in an earlier run.
        as_json: print the summary as JSON.
        workers: threads that read.

    Raises:
        InputError: no folder, or no video in it.
        OutputError: `out` holds something else, or cannot be written.
        LockedError: another process writes to `out` or to the store.
        ToolError: there is no decoder for any of the videos; all is written.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give a folder of videos")
    check_scan_folder(out)
    check_store(store)
    videos = [
        Video(name=name, folder=folder, stamp=stamp_of(path))
        for name, path, _ in named_videos(folder, None)
    ]
    opened = Bundle.load(bundle)
    for mark in marks_of(opened):
        warn(f"this bundle: {mark}")
    warn(opened.pixels_note)
    what = {
        "bundle_sha256": file_sha256(bundle / "bundle.json"),
        "folder": str(folder.resolve()).encode("utf-8", "backslashreplace").decode(),
    }
    kept = () if store == STORE else ("--store", store)
    collected = partial(
        collect,
        command=command_line("unmask", "scan", bundle, folder.resolve(), "-o", out, *kept),
        provenance=provenance_of(opened, bundle),
    )
    with Journal(out, what) as journal:
        see = partial(collected, opened, videos, journal, what)
        todo = [one for one in videos if not is_done(one, journal, retry)]
        older = sum(is_outdated(journal.rows.get(one.name)) for one in todo)
        if older:
            warn(
                f"{older} of these videos were read with another pixels version; they are read anew"
            )
        shown, tabled = time.monotonic(), 0
        size = sum(one.stamp[0] for one in todo if one.stamp) / 1e6
        shape = "{l_bar}{bar}| {n:.0f}/{total:.0f} MB [{elapsed}<{remaining}{postfix}]"
        quiet = True if not todo else None
        bar = tqdm(total=size, desc="scan", disable=quiet, bar_format=shape)
        with Scorer(opened, store, workers or cores()) as scorer, bar:
            rows = (journal.rows.get(one.name) for one in videos)
            scorer.begin(row.sha256 for row in rows if row and row.sha256 and not row.failure)
            for start in range(0, len(todo), CHUNK):
                journal.add(scorer.chunk(todo[start : start + CHUNK], bar))
                bar.set_postfix_str(f"{min(start + CHUNK, len(todo))} of {len(todo)} videos")
                if time.monotonic() - shown > SHOW_SECONDS:
                    scan = see()
                    finished = len(scan.scored) + len(scan.failures)
                    if finished >= tabled * SHOW_GROWTH:
                        write_tables(out, scan)
                        tabled = finished
                    write_page(opened, out, scan, what)
                    shown = time.monotonic()
            scorer.finish()
        scan = see()
        write_tables(out, scan)
        write_page(opened, out, scan, what)
    tell(scan, out, known=len(videos) - len(todo), embedded=scorer.embedded, as_json=as_json)
    if len(scan.failures) == len(videos):
        refuse_without_decoder([(row.failure, row.message) for row in scan.failures])
    return len(scan.failures)


def is_done(video: Video, journal: Journal, retry: bool) -> bool:
    """Whether an earlier run finished this very file."""
    row = row_of(video, journal)
    return row is not None and row.stamp is not None and not (retry and row.failure is not None)


def row_of(video: Video, journal: Journal) -> Row | None:
    """What is known of this very file; of one that is gone, or leads nowhere, too."""
    row = journal.rows.get(video.name)
    return None if row is None or row.stamp != video.stamp or is_outdated(row) else row


def is_outdated(row: Row | None) -> bool:
    """Whether another pixels version read this video: its score may not be what it is now."""
    return row is not None and row.pixels_version != PIXELS_VERSION


def collect(
    bundle: Bundle,
    videos: Sequence[Video],
    journal: Journal,
    what: dict[str, str],
    *,
    command: str,
    provenance: Provenance,
) -> Scan:
    """All that is finished so far, ranked."""
    rows = [row for one in videos if (row := row_of(one, journal)) is not None]
    head = bundle.head
    scored = [
        Scored(row=row, verdict=head.calibration.verdict(row.probability_fake, head.threshold))
        for row in rows
        if row.probability_fake is not None
    ]
    scored.sort(key=lambda one: (-float(one.row.probability_fake or 0), one.row.path))
    return Scan(
        folder=what["folder"],
        videos=len(videos),
        scored=scored,
        failures=sorted((row for row in rows if row.failure is not None), key=lambda one: one.path),
        command=command,
        provenance=provenance,
    )


def write_tables(out: Path, scan: Scan) -> None:
    """Writes what has a row for each video."""
    write_text(out / "scores.csv", as_csv(scan.scored))
    write_failures(
        out / "failures.csv",
        [
            Failure(
                path=row.path, failure=str(row.failure), message=str(row.message), stderr_tail=""
            )
            for row in scan.failures
        ],
    )


def write_page(bundle: Bundle, out: Path, scan: Scan, what: dict[str, str]) -> None:
    """Writes what has the same length for any number of videos: page and record."""
    write_text(out / "scan.html", render_scan(bundle, scan))
    marks = marks_of(bundle)
    facts = {**what, **scan.summary, "threshold": bundle.head.threshold}
    facts |= {"pixels_note": bundle.pixels_note} if bundle.pixels_note else {}
    write_record(out, facts | ({MARK: "; ".join(marks)} if marks else {}))


def as_csv(scored: Sequence[Scored]) -> str:
    """The ranked table; file names that are no UTF-8 are shown escaped."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["rank", "path", "verdict", "probability_fake", "frames_used", "faces_found",
         "size_bytes", "sha256"]
    )  # fmt: skip
    for rank, one in enumerate(scored, start=1):
        row = one.row
        size = row.stamp[0] if row.stamp else ""
        writer.writerow(
            [rank, row.path, one.verdict, f"{row.probability_fake:.9g}", row.frames_used,
             row.faces_found, size, row.sha256]
        )  # fmt: skip
    return text.getvalue().encode("utf-8", "backslashreplace").decode()


def tell(scan: Scan, out: Path, *, known: int, embedded: int, as_json: bool) -> None:
    """What came out, the highest scores, and where the rest is."""
    summary = scan.summary
    learnt = scan.provenance
    if as_json:
        files = {name: str(out / name) for name in ("scores.csv", "failures.csv", "scan.html")}
        print(json.dumps({**summary, "embedded": embedded, "files": files}, indent=2))
        return
    if learnt.warning is not None:
        print(learnt.warning.upper())
    print(plain(f"bundle: {learnt.line}"))
    failed = ", ".join(f"{name} {count}" for name, count in summary["failed"].items())
    print(
        f"{out}: {summary['videos']} videos, {summary['FAKE']} FAKE, {summary['UNSURE']} UNSURE, "
        f"{summary['REAL']} REAL, {len(scan.failures)} failed{f' ({failed})' if failed else ''}; "
        f"{known} known from an earlier run, {embedded} embedded now"
    )
    if scan.resized:
        print(plain(resized_note(scan.resized)))
    for one in scan.scored[:TOP]:
        print(plain(f"{one.row.probability_fake:.3f}  {one.verdict:6}  {one.row.path}"))
    for reason in scan.reasons[:TOP]:
        print(plain(f"failed: {reason.words}"))
    if len(scan.reasons) > TOP:
        print(plain(f"failed: {len(scan.reasons)} reasons in all, see {out / 'failures.csv'}"))
    print(plain(f"table: {out / 'scores.csv'}, page: {out / 'scan.html'}"))
