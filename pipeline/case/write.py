"""Writes a case: one video's verdict with everything that it rests on, whole or not at all.

manifest.json     sha256 of every other file and of the evidence, under one seal
case.json         the record (`pipeline.case.record`), for programs
case.schema.json  its JSON Schema
verdict.html      the same for people
crops/            faces as cut from the video's frames, not scaled
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.declared.model import Declared, escaped
from data.declared.read import read_declared
from data.errors import ConfigError, InputError, OutputError, VideoError
from data.images.identity import source_sha256, source_size
from data.io.atomic_files import write_plain
from data.io.atomic_folders import check_replaceable, replace_folder
from data.io.output_paths import follow
from data.io.reading import file_sha256, unreadable
from data.io.system_errors import writing
from models.records import BUNDLE_RECORD
from pipeline.case.crops import CROPS, crops_note, cut_crops
from pipeline.case.manifest import MANIFEST, Manifest, Sealed, SealedEvidence, digest_of, sealed
from pipeline.case.record import (
    CaseRecord,
    Detector,
    Evidence,
    Judgement,
    Made,
    Note,
)
from pipeline.case.schema import published_schema
from pipeline.case.tools import this_machine, tool_versions
from pipeline.extraction.feature_spec import scoring_recipe
from pipeline.inference.limits import limits_of
from pipeline.inference.verdict import Judged, Prediction

PAGE, RECORD, SCHEMA = "verdict.html", "case.json", "case.schema.json"

Render = Callable[[CaseRecord], str]
"""Makes the page: `render_verdict` with `case=` this record."""


@dataclass(frozen=True, kw_only=True)
class WrittenCase:
    """A case as it lies on disk."""

    folder: Path
    record: CaseRecord
    seal: str  # sha256, hex; whoever knows it can tell whether anything was changed
    files: tuple[str, ...]  # names of all files in it, sorted


def write_case(
    folder: Path,
    judged: Judged,
    prediction: Prediction,
    *,
    bundle: Path,
    evidence: Path,
    command: str,
    render: Render,
    by: str | None = None,
    at: datetime | None = None,
    declared: Declared | None = None,
    notes: Sequence[Note] = (),
) -> WrittenCase:
    """Writes the case of a video that has a verdict.

    Call it in the process that judged the video: the crops are cut where `judged` found the faces.

    Args:
        folder: to write; must not exist, or be empty. A case is never replaced.
        judged: one result out of `prediction.judged`, with a verdict.
        prediction: of `predict_videos`; its bundle and what that was trained on.
        bundle: the bundle's folder.
        evidence: the video's file, as `judged.path`; its bytes must be those that were judged.
        command: as given, quoted for a shell.
        render: makes the page from the record:
            `lambda case: render_verdict(bundle, judged, ..., case=case)`.
        by: who makes the case, as given; None leaves a line for it.
        at: when, with a time zone, as given; None takes the clock, in UTC.
        declared: what the evidence says of itself, where it was read already.
        notes: of people, for the record and the page.

    Raises:
        ConfigError: `at` has no time zone.
        InputError: the evidence cannot be read, or has changed since it was judged.
        OutputError: the folder is not empty, or cannot be written.
        VideoError: the frames cannot be read again.
    """
    check_case_folder(folder)
    if at is not None and at.tzinfo is None:
        raise ConfigError("the time of a case needs a time zone, as in 2026-01-31T10:00:00+01:00")
    size_bytes = check_evidence(evidence, judged.verdict.sha256)
    frames, recipe = scoring_recipe(prediction.bundle.recipe)
    verdict = judged.verdict
    with replace_folder(folder, marker=MANIFEST) as new:
        files = _Files(new)
        crops = []
        for crop, content in cut_crops(evidence, frames, judged):
            crops.append(crop)
            files.add(crop.file, content)
        record = CaseRecord(
            evidence=Evidence(
                name=escaped(verdict.video), sha256=str(verdict.sha256), size_bytes=size_bytes
            ),
            made=Made(
                by=None if by is None else escaped(by),
                at=(at or datetime.now(UTC)).isoformat(timespec="seconds"),
                at_given=at is not None,
                command=escaped(command),
            ),
            judgement=judgement_of(judged),
            detector=Detector(
                bundle=escaped(str(bundle)),
                bundle_sha256=file_sha256(bundle / BUNDLE_RECORD),
                backbone=escaped(recipe.backbone),
                backbone_sha256=recipe.backbone_digest,
                precision=recipe.precision,
                training=escaped(prediction.provenance.line),
                warning=escaped(prediction.provenance.warning),
            ),
            declared=read_declared(evidence) if declared is None else declared,
            crops=tuple(crops),
            crops_note=crops_note(judged, len(crops)),
            limits=limits_of(judged.bundle or prediction.bundle, judged),
            notes=tuple(Note.model_validate(escaped(one.model_dump())) for one in notes),
            tools=tool_versions(),
            machine=this_machine(),
        )
        # Read again: what is said of the file must be of the very bytes that were judged.
        check_evidence(evidence, verdict.sha256)
        files.add(PAGE, render(record).encode())
        files.add(RECORD, record_text(record).encode())
        files.add(SCHEMA, published_schema())
        content, seal = sealed(
            Manifest(
                evidence=SealedEvidence(sha256=str(verdict.sha256), size_bytes=size_bytes),
                files=tuple(sorted(files.sealed, key=lambda one: one.path)),
            )
        )
        write_plain(new / MANIFEST, content)
    names = tuple(sorted([MANIFEST, *(one.path for one in files.sealed)]))
    return WrittenCase(folder=folder, record=record, seal=seal, files=names)


class _Files:
    """Files of a case that is being written, with their digests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.sealed: list[Sealed] = []
        (folder / CROPS).mkdir()

    def add(self, name: str, content: bytes) -> None:
        write_plain(self._folder / name, content)
        self.sealed.append(Sealed(path=name, sha256=digest_of(content), size_bytes=len(content)))


def check_case_folder(folder: Path) -> None:
    """Refuses, before any work, a folder that a case cannot be written to.

    Raises:
        OutputError: it is not empty, is something else, or cannot be written.
    """
    target = follow(folder)
    with writing(folder):
        if target.is_dir() and any(target.iterdir()):
            raise OutputError(f"{folder} is not empty; a case is never replaced: give a new folder")
    check_replaceable(folder, marker=MANIFEST)


def check_evidence(path: Path, sha256: str | None) -> int:
    """Reads the evidence again; returns its size in bytes.

    Raises:
        InputError: it cannot be read, or is not what was judged.
    """
    try:
        size_bytes, found = source_size(path), source_sha256(path)
    except OSError as error:
        raise unreadable(path, error) from error
    except VideoError as error:
        raise InputError(f"{path}: {error}") from error
    if found != sha256:
        raise InputError(f"{path} has changed since it was judged; judge it again")
    return size_bytes


def judgement_of(judged: Judged) -> Judgement:
    """The verdict in the words of the record.

    Raises:
        pydantic.ValidationError: the verdict has what the record does not: a bug of unmask.
    """
    facts = asdict(judged.verdict)
    for name in ("video", "sha256", "warning", "training", "failure", "message"):
        del facts[name]  # they stand elsewhere in the record, or there is none
    return Judgement.model_validate(escaped(facts))


def record_text(record: CaseRecord) -> str:
    """case.json."""
    facts = record.model_dump(mode="json")
    return json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
