"""Makes training data from real videos alone: each real video's copy and its forgeries.

The files must say nothing about the label: copy and forgery hold the same moments, come from the
same decoded frames, and are encoded by the same settings. A run goes on where the last one stopped:
beside each finished video lies a key, the digest of all that decided its pixels, and only videos
without a fitting key are made.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data.datasets.digests import DigestCache
from data.errors import ConfigError, InputError, StoreError, VideoError
from data.io.atomic_files import as_json, make_folder, write_text
from data.io.output_paths import check_out_folder, follow
from data.io.processes import Run, job_runner
from data.io.progress import progress
from data.io.reading import read_json
from data.io.system_errors import writing
from data.self_blending.dataset.plan import ForgeConfig, Item, make_plan
from data.self_blending.dataset.sheet import write_sheet
from data.self_blending.dataset.sources import Source, find_sources
from data.self_blending.dataset.survey import Facts, survey, survey_key
from data.self_blending.dataset.tables import FORGERIES, LABELS, write_tables
from data.self_blending.dataset.work import WORK, ForgeWork, forge_item, is_made, or_error

FORMAT = {"format": "unmask forge", "version": 1}
DRAWING = 2
"""Version of how forgeries are drawn; raise it with any change that gives other pixels. Forgeries
of an earlier one are made again. 2: by OpenCV."""
RECORD = "forge.json"
SHEET = "sheet.png"
OURS = {RECORD, LABELS, FORGERIES, SHEET, "failures.csv", "manifest.csv", "manifest.failures.csv"}
"""Files that may lie in the folder beside the videos."""


@dataclass(frozen=True, kw_only=True)
class ForgeSummary:
    """What `forge` left in the folder."""

    folder: Path  # where
    pairs: int  # forgeries in the folder, each with its real copy
    reals: int  # real copies in the folder
    made: int  # videos that this call made
    removed: int  # videos of an earlier call that are no longer wanted
    frames: int  # of the videos that this call made, copies and forgeries
    methods: dict[str, int]  # number of forgeries by method
    fakes: int  # fakes of the input that were passed over
    repeated: int  # files of the input that were there twice
    failures: list[tuple[str, VideoError]]  # by name, what could not be forged
    sources: int  # number of real videos of the input, failures included


def forge(
    start: Path,
    out: Path,
    config: ForgeConfig,
    *,
    root: Path | None = None,
    workers: int,
    digests: DigestCache | None = None,
) -> ForgeSummary:
    """Writes real/, fake/, labels.csv, forgeries.csv, sheet.png and forge.json.

    Args:
        start: a folder of real videos, a labelled data set, or a manifest.
        out: made if missing; one that an earlier call wrote is brought up to date.
        config: what to make.
        root: folder of a manifest's videos, where it is not the manifest's own.
        workers: processes.
        digests: of files that have not changed.

    Raises:
        ConfigError: `workers` is below 1.
        InputError: no real video, or `out` holds anything else.
        OutputError: `out` cannot be written.
        ToolError: ffmpeg or a model's file is missing.
    """
    if workers < 1:
        raise ConfigError(f"forge workers must be at least 1, got {workers}")
    _check_out(out)
    sources = find_sources(start, root=root, out=out, digests=digests)
    failures = dict(sources.failures)
    with job_runner(workers, what="forged") as run:
        _claim(out)
        find_face = partial(survey, seconds=config.seconds, max_side=config.max_side)
        surveys = {
            source: (find_face, source.path, _survey_path(out, source, config))
            for source in sources.videos
        }
        found = _run(run, surveys, "faces", failures)
        facts: dict[Source, Facts] = dict(sorted(found.items(), key=lambda pair: pair[0].name))
        plan = make_plan(list(facts), list(facts.values()), config)
        removed = _remove_others(out, plan)
        works = _missing_work(plan, out, config)
        if works:
            # Nobody may take the tables of an earlier call for those of a half-made folder.
            with writing(out):
                for name in (LABELS, FORGERIES, SHEET):
                    follow(out / name).unlink(missing_ok=True)
        frames = _run(
            run, {one: (forge_item, work) for one, work in works.items()}, "forge", failures
        )
        plan = [item for item in plan if item.source.name not in failures]
        write_tables(out, plan)
        made = sum(len(works[source].keys) for source in frames)
        if made or removed or not (out / SHEET).is_file():
            write_sheet(out / SHEET, out, plan, run)
    methods = Counter(f"forged-{one.parameters.method}" for item in plan for one in item.forgeries)
    return ForgeSummary(
        folder=out,
        pairs=sum(methods.values()),
        reals=len(plan),
        made=made,
        removed=removed,
        frames=sum(frames.values()),
        methods=dict(methods),
        fakes=sources.fakes,
        repeated=sources.repeated,
        failures=sorted(failures.items(), key=lambda failure: failure[0]),
        sources=len(sources.videos) + len(sources.failures),
    )


def _run(
    run: Run, jobs: Mapping[Source, Sequence[Any]], desc: str, failures: dict[str, VideoError]
) -> dict[Source, Any]:
    """The results of the jobs, (function, arguments ...) each; a VideoError goes to `failures`."""
    results = {}
    for source, result in progress(run(or_error, jobs), desc=desc, total=len(jobs), unit="video"):
        if isinstance(result, VideoError):
            failures[source.name] = result
        else:
            results[source] = result
    return results


def _survey_path(out: Path, source: Source, config: ForgeConfig) -> Path:
    key = survey_key(source.sha256, seconds=config.seconds, max_side=config.max_side)
    return out / WORK / f"{key}.npz"


def _missing_work(plan: list[Item], out: Path, config: ForgeConfig) -> dict[Source, ForgeWork]:
    """What is still to be made of each source."""
    by_name = {item.source.name: item.source for item in plan}
    works = {}
    for item in plan:
        common = (FORMAT, item.source.sha256, config.seconds, config.max_side, item.crf)
        decisive: dict[str, tuple[Any, ...]] = {item.path: (common, None, "")}
        for one in item.forgeries:
            donor = by_name[one.donor].sha256 if one.donor else ""
            decisive[one.path] = (common, DRAWING, one.parameters, donor)
        keys = {
            path: hashlib.sha256(repr(values).encode()).hexdigest()
            for path, values in decisive.items()
        }
        missing = {path: key for path, key in keys.items() if not is_made(out, path, key)}
        if missing:
            donors = {one.donor for one in item.forgeries if one.donor and one.path in missing}
            works[item.source] = ForgeWork(
                out=out,
                item=item,
                keys=missing,
                surveys={
                    name: _survey_path(out, by_name[name], config)
                    for name in {item.source.name, *donors}
                },
                files={name: by_name[name].path for name in donors},
                seconds=config.seconds,
                max_side=config.max_side,
            )
    return works


def _check_out(out: Path) -> None:
    """Refuses, before anything is read, a folder that cannot be written or is not ours.

    Raises:
        InputError: a file is in its way, or the folder holds anything else.
        OutputError: it cannot be written.
    """
    if out.is_file():
        raise InputError(f"{out} must be a folder, got a file in its way")
    if out.is_dir():
        _refuse_foreign(out)
    check_out_folder(out, files=OURS)


def _refuse_foreign(out: Path) -> bool:
    """Refuses a folder that holds anything that `forge` did not write; returns if it is empty."""
    found = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    if found and RECORD not in found:
        raise InputError(f"{out} is not empty ({min(found)}); choose a new or empty folder")
    if not found:
        return True
    with suppress(StoreError):
        if read_json(out / RECORD, remedy="delete the folder", damaged=StoreError) == FORMAT:
            return False
    raise InputError(
        f"{out} was written by another version of `unmask forge`; delete it or choose another"
    )


def _claim(out: Path) -> None:
    """Makes the folder and its record, which marks it as one of `forge`."""
    with writing(out):
        make_folder(out / WORK)
        if _refuse_foreign(out):
            write_text(out / RECORD, as_json(FORMAT))


def _remove_others(out: Path, plan: Sequence[Item]) -> int:
    """Removes videos of an earlier call that are not in the plan; only those with a key of ours."""
    wanted = {path for item in plan for path in (item.path, *(one.path for one in item.forgeries))}
    removed = 0
    for note in sorted((out / WORK).rglob("*.key")):
        path = note.relative_to(out / WORK).as_posix().removesuffix(".key")
        if path not in wanted:
            with writing(out):
                (out / path).unlink(missing_ok=True)
                note.unlink()
            removed += 1
    return removed
