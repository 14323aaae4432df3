"""Makes training data from real videos alone: each real video's copy and its forgeries.

The files must say nothing about the label: copy and forgery hold the same moments, come from the
same decoded frames, and are encoded by the same settings. The work goes on where it stopped: each
finished video has a note of all that decided its pixels; only what lacks a fitting one is made.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data.datasets.digests import DigestCache
from data.errors import ConfigError, InputError, StoreError, ToolError, VideoError
from data.io.atomic_files import as_json, make_folder, write_text
from data.io.output_paths import check_out_folder, check_output, follow
from data.io.processes import process_pool
from data.io.reading import open_file, read_json
from data.io.system_errors import writing
from data.self_blending.dataset.plan import ForgeConfig, Item, make_plan
from data.self_blending.dataset.sheet import write_sheet
from data.self_blending.dataset.sources import Source, Sources, find_sources
from data.self_blending.dataset.survey import Facts, survey, survey_key
from data.self_blending.dataset.tables import FORGERIES, LABELS, write_tables
from data.self_blending.dataset.work import WORK, ForgeWork, forge_item, note_path

FORMAT = {"format": "unmask forge", "version": 1}
NOTE_BYTES = 4096
"""No note of a finished video says more."""
RECORD = "forge.json"
SHEET = "sheet.png"
OURS = {RECORD, LABELS, FORGERIES, SHEET, "failures.csv", "manifest.csv", "manifest.failures.csv"}
"""Files that may lie in the folder beside the videos."""


@dataclass(frozen=True, kw_only=True)
class ForgeSummary:
    """What `forge` left in the folder.

    Attributes:
        folder: where.
        pairs: forgeries in the folder, each with its real copy.
        reals: real copies in the folder.
        made: videos that this call made.
        removed: videos of an earlier call that are no longer wanted.
        frames: of the videos that this call made, copies and forgeries.
        methods: number of forgeries by method.
        fakes: fakes of the input that were passed over.
        repeated: files of the input that were there twice.
        failures: by name, what could not be forged.
        sources: number of real videos of the input, failures included.
    """

    folder: Path
    pairs: int
    reals: int
    made: int
    removed: int
    frames: int
    methods: dict[str, int]
    fakes: int
    repeated: int
    failures: list[tuple[str, VideoError]]
    sources: int


def forge(
    start: Path,
    out: Path,
    config: ForgeConfig,
    *,
    root: Path | None = None,
    workers: int,
    progress: bool,
    digests: DigestCache | None = None,
) -> ForgeSummary:
    """Writes real/, fake/, labels.csv, forgeries.csv, sheet.png and forge.json.

    Args:
        start: a folder of real videos, a labelled data set, or a manifest.
        out: made if missing; one that an earlier call wrote is brought up to date.
        config: what to make.
        root: folder of a manifest's videos, where it is not the manifest's own.
        workers: processes.
        progress: shows progress bars.
        digests: of files that have not changed.

    Raises:
        ConfigError: if `workers` is below 1.
        InputError: no real video, or `out` holds anything else.
        OutputError: `out` cannot be written.
        ToolError: ffmpeg or a model's file is missing.
    """
    if workers < 1:
        raise ConfigError(f"forge workers must be at least 1, got {workers}")
    _check_out(out)
    sources = find_sources(start, root=root, out=out, digests=digests)
    bar: Callable[..., Any] = partial(tqdm, unit="video", disable=None if progress else True)
    with _processes(workers) as submit:
        _claim(out)
        facts = _survey_all(sources, out, config, submit, partial(bar, desc="faces"))
        plan = make_plan(list(facts), list(facts.values()), config)
        removed = _remove_others(out, plan)
        made, frames = _make_all(
            plan, facts, out, config, submit, partial(bar, desc="forge"), sources
        )
        failed = {name for name, _ in sources.failures}
        plan = [item for item in plan if item.source.name not in failed]
        write_tables(out, plan)
        if made or removed or not (out / SHEET).is_file():
            write_sheet(out / SHEET, out, plan)
    methods = Counter(f"forged-{one.parameters.method}" for item in plan for one in item.forgeries)
    return ForgeSummary(
        folder=out,
        pairs=sum(methods.values()),
        reals=len(plan),
        made=made,
        removed=removed,
        frames=frames,
        methods=dict(methods),
        fakes=sources.fakes,
        repeated=sources.repeated,
        failures=sorted(sources.failures, key=lambda failure: failure[0]),
        sources=len(facts) + len(failed - {source.name for source in facts}),
    )


Submit = Callable[..., Iterator[tuple[Any, Any]]]
"""`submit(function, {key: arguments})` -> (key, result), as they come."""


@contextmanager
def _processes(workers: int) -> Iterator[Submit]:
    """Runs functions in this process or in several."""
    if workers == 1:
        yield lambda function, jobs: ((key, function(*given)) for key, given in jobs.items())
        return
    pool = process_pool(workers)

    def submit(
        function: Callable[..., Any], jobs: dict[Any, Sequence[Any]]
    ) -> Iterator[tuple[Any, Any]]:
        waiting = {pool.submit(function, *given): key for key, given in jobs.items()}
        for job in as_completed(waiting):
            yield waiting[job], job.result()

    try:
        yield submit
    except BrokenProcessPool as error:
        raise ToolError(
            "a process that forged was ended from outside; run the same command again to go on, "
            "with fewer workers if memory is short"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _survey_all(
    sources: Sources, out: Path, config: ForgeConfig, submit: Submit, bar: Callable[..., Any]
) -> dict[Source, Facts]:
    """Finds the faces of all videos; what has none becomes a failure. Sorted by name."""
    jobs = {
        source: (source.path, _survey_path(out, source, config), config.seconds, config.max_side)
        for source in sources.videos
    }
    found: dict[Source, Facts] = {}
    for source, result in bar(submit(try_survey, jobs), total=len(jobs)):
        if isinstance(result, Facts):
            found[source] = result
        else:
            sources.failures.append((source.name, _error(result)))
    return dict(sorted(found.items(), key=lambda pair: pair[0].name))


def try_survey(path: Path, keep: Path, seconds: float, max_side: int) -> Facts | tuple[Any, ...]:
    """`survey`, with a failure as plain values: a VideoError does not survive between processes."""
    try:
        return survey(path, keep, seconds=seconds, max_side=max_side)
    except VideoError as error:
        return (error.failure, str(error), error.stderr_tail)


def _survey_path(out: Path, source: Source, config: ForgeConfig) -> Path:
    key = survey_key(source.sha256, seconds=config.seconds, max_side=config.max_side)
    return out / WORK / f"{key}.npz"


def _make_all(
    plan: list[Item],
    facts: dict[Source, Facts],
    out: Path,
    config: ForgeConfig,
    submit: Submit,
    bar: Callable[..., Any],
    sources: Sources,
) -> tuple[int, int]:
    """Makes what is missing; returns the number of videos made and of their frames."""
    by_name = {source.name: source for source in facts}
    jobs: dict[str, tuple[ForgeWork]] = {}
    for item in plan:
        works = {item.path: None} | {one.path: one for one in item.forgeries}
        missing = {}
        for path, one in works.items():
            told = (
                (FORMAT, item.source.sha256, config.seconds, config.max_side, item.crf),
                None if one is None else one.parameters,
                by_name[one.donor].sha256 if one is not None and one.donor else "",
            )
            key = hashlib.sha256(repr(told).encode()).hexdigest()
            if not (out / path).is_file() or _note(out, path) != key:
                missing[path] = key
        if missing:
            donors = {one.donor for one in item.forgeries if one.donor and one.path in missing}
            jobs[item.source.name] = (
                ForgeWork(
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
                ),
            )
    if jobs:
        # Whoever reads a half-made folder must not take an older table for its contents.
        with writing(out):
            for name in (LABELS, FORGERIES, SHEET):
                follow(out / name).unlink(missing_ok=True)
    made = frames = 0
    for name, result in bar(submit(forge_item, jobs), total=len(jobs)):
        if isinstance(result, int):
            made += len(jobs[name][0].keys)
            frames += result
        else:
            sources.failures.append((name, _error(result)))
    return made, frames


def _error(told: tuple[Any, ...]) -> VideoError:
    return VideoError(told[0], told[1], stderr_tail=told[2])


def _note(out: Path, path: str) -> str:
    """The key under which a finished video was made; "" if there is none."""
    with suppress(OSError, UnicodeDecodeError), open_file(note_path(out, path)) as handle:
        return handle.read(NOTE_BYTES).decode("ascii")
    return ""


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
    check_out_folder(out)
    for name in OURS:
        check_output(out / name)


def _refuse_foreign(out: Path) -> bool:
    """Refuses a folder that holds anything that `forge` did not write; tells whether it is new."""
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
    """Makes the folder, and says what it is."""
    with writing(out):
        make_folder(out / WORK)
        if _refuse_foreign(out):
            write_text(out / RECORD, as_json(FORMAT))


def _remove_others(out: Path, plan: Sequence[Item]) -> int:
    """Removes videos of an earlier call that are not in the plan; only what has a note of ours."""
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
