"""The case file that the page hands out: the folder of `predict --case` in one archive."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.declared.model import Declared
from data.faces.given_box import GivenBox
from data.io.atomic_folders import replace_folder
from pipeline.app.settings import ARCHIVE
from pipeline.case.folders import case_command
from pipeline.case.record import Note
from pipeline.case.write import Render, write_case
from pipeline.inference.verdict import Judged, Prediction

FOLDER = "case"
"""Of all files in the archive, and below it while it is written."""
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""Time of the archive's entries: the record has the true one."""


def write_archive(
    out: Path,
    judged: Judged,
    prediction: Prediction,
    *,
    bundle: Path,
    box: GivenBox | None,
    declared: Declared | None,
    render: Render,
    facts: Mapping[str, Any],
) -> None:
    """Writes the case into an archive in a new folder.

    Args:
        out: the folder, which holds `ARCHIVE` then.
        judged: of the video.
        prediction: that it is out of.
        bundle: folder of what judged.
        box: that the person gave.
        declared: what the file says of itself.
        render: makes the page of the record.
        facts: `by`, and `notes` of people with `by`, `at` in seconds, `text`, and of readers
            `verdict` and `blind`.

    Raises:
        UnmaskError: as `pipeline.case.write.write_case`.
    """
    assert judged.path is not None  # noqa: S101 - it has a verdict
    with replace_folder(out, marker=ARCHIVE) as new:
        folder = new / FOLDER
        done = write_case(
            folder,
            judged,
            prediction,
            bundle=bundle,
            evidence=judged.path,
            command=case_command(
                bundle,
                [judged.path],
                case=Path(FOLDER),
                by=facts["by"],
                at=None,
                prior=None,
                report=None,
                workers=None,
                box=box,
            ),
            render=render,
            by=facts["by"],
            declared=declared,
            notes=[_note(one) for one in facts["notes"]],
        )
        with zipfile.ZipFile(new / ARCHIVE, "w", zipfile.ZIP_STORED) as archive:
            for name in done.files:
                entry = zipfile.ZipInfo(f"{FOLDER}/{name}", EARLIEST)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, (folder / name).read_bytes())
        shutil.rmtree(folder)


def _note(facts: Mapping[str, Any]) -> Note:
    """A person's note or reading, with its time in UTC."""
    at = datetime.fromtimestamp(facts["at"], UTC).isoformat(timespec="seconds")
    return Note(**{**facts, "at": at})
