"""Commands that inspect feature sets and stores, and keep them in order."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.errors import OutputError, StoreError
from pipeline.cli.console import show, show_json, show_table
from pipeline.cli.options import JsonOption, command
from pipeline.shell_commands import command_line

if TYPE_CHECKING:
    from features.store.verify import Problem
    from features.upkeep.diff import Diff
    from features.upkeep.gc import Garbage, GarbageFile
    from features.upkeep.repair import Repair

commands = typer.Typer()

LISTED = 20
"""Lines printed of a long list; `--json` has all."""

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")
]
FeaturesArgument = Annotated[Path, typer.Argument(metavar="DIR", help="A feature set, or a store.")]


@command(commands)
def inspect(features: FeaturesArgument, json_: JsonOption = False) -> None:
    """Show what a feature set or a store holds: recipe, backbone, videos, sizes.

    Example: unmask store inspect embeddings
    """
    from features.upkeep.inspect import inspect

    inspection = inspect(features)
    if json_:
        show_json(inspection.to_json())
    else:
        _show_facts(inspection.facts)
        for part in inspection.parts:
            show("")
            _show_facts(part.facts)


def _show_facts(facts: Mapping[str, Any], indent: str = "") -> None:
    for name, value in facts.items():
        if isinstance(value, dict):
            show(f"{indent}{name}:")
            _show_facts(value, indent + "  ")
        else:
            shown = f"{value:.6g}" if isinstance(value, float) else value
            show(f"{indent}{name:<{20 - len(indent)}}{shown}")


@command(commands, codes=(5,))
def verify(features: FeaturesArgument, json_: JsonOption = False) -> None:
    """Read every byte of a feature set or a store; report damage with exit code 5.

    Example: unmask store verify embeddings
    """
    from features.store.verify import verify

    problems = verify(features)
    if json_:
        show_json(problems)
    else:
        show(*(f"{problem.file}: {problem.problem}: {problem.message}" for problem in problems))
    if problems:
        advice = _advice(features, problems)
        raise StoreError(f"{features} is damaged in {len(problems)} places; {advice}")
    if not json_:
        show(f"{features}: no damage")


def _advice(folder: Path, problems: Sequence[Problem]) -> str:
    """What to do about these problems."""
    from features.store.feature_set import FAILURES
    from features.store.layout import INDEX

    not_ours = {one.file for one in problems if one.problem in ("later", "foreign", "unlisted")}
    if any(problem.file in (INDEX, FAILURES) for problem in problems):
        return "extract again: only what is missing is embedded"
    if all(problem.file in not_ours for problem in problems):
        if any(problem.problem == "later" for problem in problems):
            return "use a later unmask"
        return "move what does not belong there to where it does, or extract again"
    return (
        f"run `{command_line('unmask', 'store', 'repair', folder)}`: it keeps intact videos and "
        "lists those that the next `unmask extract` embeds again"
    )


@command(commands)
def repair(
    features: FeaturesArgument, dry_run: DryRunOption = False, json_: JsonOption = False
) -> None:
    """Remove damage, keep intact videos, and list those to extract again.

    Example: unmask store repair embeddings
    """
    from features.upkeep.repair import repair

    result = repair(features, dry_run=dry_run)
    if json_:
        show_json(result)
    else:
        _show_repair(result)
    left = [str(one.file) for one in result.files if one.action == "left"]
    if left and not dry_run:
        raise StoreError(
            f"{len(left)} files were left as they are: {', '.join(left[:3])}; "
            "see above what to do with them"
        )


def _show_repair(repair: Repair) -> None:
    if not repair.files:
        show(f"{repair.folder}: nothing to repair")
        return
    for one in repair.files:
        new = f" -> {one.new_file}" if one.new_file else ""
        show(f"{one.file}: {one.message}: {one.action}, {one.kept} videos kept{new}")
    lost = repair.to_extract
    show(*(f"to extract: {video.path}  {video.sha256}" for video in lost[:LISTED]))
    if len(lost) > LISTED:
        show(f"to extract: {len(lost)} in all, see --json")
    unnamed = sum(one.unnamed is None or one.unnamed > 0 for one in repair.files)
    if unnamed:
        show(f"to extract: the videos of {unnamed} files whose names cannot be read")
    for folder in repair.also_in:
        show(f"{folder} has the same damage")
        show(f"next: {command_line('unmask', 'store', 'repair', folder)}")
    if repair.dry_run:
        show("nothing was changed: a dry run")
    elif lost or unnamed:
        show("next: unmask extract, as before: it embeds only what is missing")


@command(commands)
def gc(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The store to clean.")] = Path(
        ".unmask/store"
    ),
    keep: Annotated[
        list[Path] | None,
        typer.Option(
            "--keep",
            metavar="FEATURES",
            help="Feature set to keep; repeatable; default: all below the current folder.",
        ),
    ] = None,
    drop_linked: Annotated[
        bool, typer.Option("--drop-linked", help="Also remove shards with hard links elsewhere.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    json_: JsonOption = False,
) -> None:
    """Show what no feature set uses, and remove it after asking.

    Example: unmask store gc --dry-run
    """
    from features.upkeep.gc import find_garbage, remove_garbage

    with find_garbage(store, keep=keep, drop_linked=drop_linked, lock=not dry_run) as garbage:
        if json_:
            show_json(garbage.to_json())
        else:
            _show_garbage(garbage)
        count = len(garbage.files)
        if count and not dry_run and (yes or _confirmed(f"Remove {count} files?")):
            remove_garbage(garbage)
            outcome = f"removed {count} files"
        else:
            outcome = "nothing was changed" if count else "nothing to remove"
    typer.echo(outcome, err=json_)


def _confirmed(question: str) -> bool:
    """Asks on the terminal.

    Raises:
        OutputError: there is none.
    """
    if not _on_terminal():
        raise OutputError("there is no terminal to ask on; look with --dry-run, then give --yes")
    return input(f"{question} [y/N] ").strip().casefold() in {"y", "yes"}


def _on_terminal() -> bool:
    return sys.stdin.isatty()


def _show_garbage(garbage: Garbage) -> None:
    show(*(f"stays whole: {folder}" for folder in garbage.keep))
    for part in garbage.parts:
        used = "in use" if part.in_use else "used by no feature set"
        show(f"{part.part}: recipe {used}, {part.kept} shards stay")
        for reason, why in (
            ("unused", "used by no feature set"),
            ("doubled", "all its videos are in larger shards, too"),
            ("leftover", "temporary file of a killed run"),
        ):
            some = [one for one in part.files if one.reason == reason]
            show(*(f"  remove: {_line(one)}  {why}" for one in some[:LISTED]))
            if len(some) > LISTED:
                show(f"  remove: {len(some)} such files in all, {_size(some)}")
        if part.linked:
            show(
                f"  stays: {len(part.linked)} shards used by no feature set, but with other hard "
                "links, so that removing them frees nothing; --drop-linked removes them"
            )
    files = garbage.files
    show(f"in all: {len(files)} files, {sum(one.videos for one in files)} videos, {_size(files)}")


def _line(one: GarbageFile) -> str:
    kind = "staged video" if one.staged else f"{one.videos} videos"
    return f"{one.path.parent.name}/{one.path.name[:22]}  {kind}  {_size([one])}"


def _size(files: Iterable[GarbageFile]) -> str:
    return f"{sum(one.size_bytes for one in files) / 1e6:.2f} MB"


@command(commands)
def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A feature set.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Feature set to compare with.")],
    most: Annotated[int, typer.Option(min=0, help="Number of videos to list.")] = 10,
    json_: JsonOption = False,
) -> None:
    """Compare two feature sets of the same videos, as frozen and fine-tuned.

    Example: unmask store diff embeddings embeddings-tuned
    """
    from features.store.feature_set import Features
    from features.upkeep.diff import diff

    result = diff(Features(a), Features(b))
    if json_:
        show_json(result)
    else:
        _show_diff(result, most)


def _show_diff(diff: Diff, most: int) -> None:
    show(
        f"{diff.common} videos in both, {len(diff.only_a)} only in {diff.a}, "
        f"{len(diff.only_b)} only in {diff.b}"
    )
    for mark, paths in (("a", diff.only_a), ("b", diff.only_b)):
        show(*(f"  only in {mark}: {path}" for path in paths[:most]))
    show(*(f"recipe {name}: {left} | {right}" for name, (left, right) in diff.recipe.items()))
    if diff.common and "dim" in diff.recipe:
        left, right = diff.recipe["dim"]
        show(f"embeddings of {left} and of {right} numbers cannot be compared")
    if not diff.changes:
        return
    show_table(
        ("of all videos", "mean", "min", "max"),
        [
            (name.replace("_", " "), *(f"{number:.4f}" for number in vars(spread).values()))
            for name, spread in diff.summary.items()
        ],
    )
    if most:
        from features.upkeep.diff import MEASURES

        show_table(
            ("video", "frames", *(name.replace("_", " ") for name in MEASURES)),
            [
                (change.path, change.frames, *(_measure(getattr(change, one)) for one in MEASURES))
                for change in diff.changes[:most]
            ],
        )


def _measure(value: float | None) -> str:
    return "nan" if value is None else f"{value:.4f}"
