"""`unmask store repair`, `gc` and `compact`: what they found, what they did, what to type next."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.errors import InputError, OutputError, StoreError, plain
from features.store.layout import (
    INDEX,
    SHARDS,
    STORE,
    copies_of,
    find_published,
    parts_of,
    sha256_of,
)
from features.store.lock import hold_lock
from features.store.sealing import writing
from features.upkeep.compact import Compaction, compact_part
from features.upkeep.gc import Plan, Waste, plan_part, remove
from features.upkeep.references import Usage, usage_of
from features.upkeep.repair import Mending, repair_part
from features.upkeep.republish import repair_published
from models.backbones.fingerprint import file_sha256
from pipeline.shell_commands import command_line

LISTED = 20
"""Of a long list, so many lines are printed; `--json` has them all."""


def repair_features(
    folder: Path, *, copies: Sequence[Path] | None, dry_run: bool, as_json: bool
) -> None:
    """`unmask store repair`: rescues intact videos, names lost ones.

    Args:
        folder: a published folder, a working store, or one recipe's part of it.
        copies: folders where intact copies may be; None looks into the store and into all folders
            of features below the current one.

    Raises:
        StoreError: something was left that is not ours to mend.
    """
    published = (folder / INDEX).exists()
    parts = [] if published else parts_of(folder)
    if copies is None:
        copies = [STORE, *find_published(Path())]
    mendings: dict[Path, list[Mending]] = {}
    if published:
        mendings[folder] = repair_published(folder, copies=copies, dry_run=dry_run)
    for part in parts:
        mendings[part] = repair_part(part, copies=copies, dry_run=dry_run)
    named = [(part / one.file, one) for part, some in mendings.items() for one in some]
    others = _damaged_elsewhere([path for path, one in named if one.action != "left"], copies)
    if as_json:
        print(json.dumps(_repair_facts(folder, named, others, dry_run), indent=2))
    else:
        _tell_repair(folder, named, others, dry_run=dry_run)
    left = [str(path) for path, one in named if one.action == "left"]
    if left and not dry_run:
        raise StoreError(
            f"{len(left)} files were left, not ours to mend: {', '.join(left[:3])}; "
            "see above what to do with them"
        )


def _damaged_elsewhere(damaged: Iterable[Path], copies: Sequence[Path]) -> list[str]:
    """Folders where the same shard is damaged, too: a hard link has the same bytes."""
    found = {
        copy.parent
        for path in damaged
        for copy in copies_of(path, copies)
        if file_sha256(copy) != sha256_of(copy)
    }
    return sorted(str(folder.parent if folder.name == SHARDS else folder) for folder in found)


def _repair_facts(
    folder: Path, named: list[tuple[Path, Mending]], others: list[str], dry_run: bool
) -> dict[str, Any]:
    lost = {video.sha256: video.path for _, one in named for video in one.lost}
    return {
        "folder": str(folder),
        "dry_run": dry_run,
        "files": [asdict(one) | {"file": str(path)} for path, one in named],
        "to_extract": [{"path": path, "sha256": sha256} for sha256, path in lost.items()],
        "unnamed": sum(one.unnamed or 0 for _, one in named),
        "also_in": others,
    }


def _tell_repair(
    folder: Path, named: list[tuple[Path, Mending]], others: list[str], *, dry_run: bool
) -> None:
    if not named:
        print(plain(f"{folder}: nothing to repair"))
        return
    for path, one in named:
        new = f" -> {one.new_file}" if one.new_file and one.new_file != one.file else ""
        print(plain(f"{path}: {one.message}: {one.action}, {one.kept} videos kept{new}"))
    lost = {video.sha256: video.path for _, one in named for video in one.lost}
    for sha256, video in list(lost.items())[:LISTED]:
        print(f"to extract: {video}  {sha256}")
    if len(lost) > LISTED:
        print(f"to extract: {len(lost)} in all, see --json")
    nameless = [path for path, one in named if one.unnamed is None or one.unnamed]
    if nameless:
        print(f"to extract: the videos of {len(nameless)} files that tell no names any more")
    for other in others:
        print(plain(f"{other} has a file of the same name"))
        print(f"next: {command_line('unmask', 'store', 'repair', Path(other))}")
    if dry_run:
        print("nothing was changed: a dry run")
    elif lost or nameless:
        print("next: unmask extract, as before: it embeds only what is missing")


def collect_garbage(
    store: Path,
    *,
    keep: Sequence[Path] | None,
    drop_linked: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """`unmask store gc`: shows what no folder of features uses, and removes it if told to.

    Args:
        store: a working store, or one recipe's part of it.
        keep: folders of features that stay whole; None takes all below the current folder.
        drop_linked: other hard links do not count as use.
        dry_run: shows only.
        yes: removes without asking.
        as_json: prints the plan as JSON.

    Raises:
        InputError: there is no folder of features to go by.
        OutputError: nobody can be asked.
    """
    with contextlib.ExitStack() as locks:
        parts = parts_of(store)
        for part in [] if dry_run else parts:
            with writing(part):
                locks.enter_context(hold_lock(part))
        # Only now: who publishes holds the lock, so no folder can appear from here on.
        usage = usage_of(list(find_published(Path())) if keep is None else keep)
        if not usage.folders:
            raise InputError(
                "no folder of features below the current one; name those that stay by --keep, "
                f"or remove {store} altogether"
            )
        plans = [plan_part(part, usage, drop_linked=drop_linked) for part in parts]
        waste = [one for plan in plans for one in plan.waste]
        if as_json:
            print(json.dumps(_plan_facts(plans, usage), indent=2))
        else:
            _tell_plans(plans, usage)
        if waste and not dry_run and (yes or _agreed(f"Remove {len(waste)} files?")):
            for plan in plans:
                remove(plan)
            outcome = f"removed {len(waste)} files"
        else:
            outcome = "nothing was changed" if waste else "nothing to remove"
        print(outcome, file=sys.stderr if as_json else sys.stdout)


def _plan_facts(plans: Sequence[Plan], usage: Usage) -> dict[str, Any]:
    return {
        "keep": [str(folder) for folder in usage.folders],
        "waste": [asdict(one) | {"path": str(one.path)} for plan in plans for one in plan.waste],
        "linked": [str(path) for plan in plans for path in plan.linked],
        "size_bytes": sum(one.size_bytes for plan in plans for one in plan.waste),
    }


def _agreed(question: str) -> bool:
    """Asks on the terminal.

    Raises:
        OutputError: there is none.
    """
    if not _on_terminal():
        raise OutputError("nobody is there to confirm; look with --dry-run, then give --yes")
    return input(f"{question} [y/N] ").strip().casefold() in {"y", "yes"}


def _on_terminal() -> bool:
    return sys.stdin.isatty()


def _tell_plans(plans: Sequence[Plan], usage: Usage) -> None:
    for folder in usage.folders:
        print(plain(f"stays whole: {folder}"))
    for plan in plans:
        used = "in use" if usage.has_recipe(plan.part.resolve().name) else "used by no folder"
        print(f"{plan.part}: recipe {used}, {plan.kept} shards stay")
        for reason, what in (
            ("unused", "used by no folder of features"),
            ("doubled", "all videos are in larger shards, too"),
            ("leftover", "left half done by a killed run"),
        ):
            some = [one for one in plan.waste if one.reason == reason]
            for one in some[:LISTED]:
                print(f"  goes: {_line(one)}  {what}")
            if len(some) > LISTED:
                print(f"  goes: {len(some)} such files in all, {_size(some)}")
        if plan.linked:
            print(
                f"  stays: {len(plan.linked)} shards used by no folder of features, but with other "
                "hard links, so that removing them frees nothing; --drop-linked removes them"
            )
    waste = [one for plan in plans for one in plan.waste]
    print(f"in all: {len(waste)} files, {sum(one.videos for one in waste)} videos, {_size(waste)}")


def _line(one: Waste) -> str:
    kind = "staged video" if one.staged else f"{one.videos} videos"
    return f"{one.path.parent.name}/{one.path.name[:22]}  {kind}  {_size([one])}"


def _size(waste: Iterable[Waste]) -> str:
    return f"{sum(one.size_bytes for one in waste) / 1e6:.2f} MB"


def compact_store(store: Path, *, dry_run: bool, as_json: bool) -> None:
    """`unmask store compact`: merges small shards, recipe by recipe."""
    done = [compact_part(part, dry_run=dry_run) for part in parts_of(store)]
    if as_json:
        print(json.dumps([asdict(one) | {"part": str(one.part)} for one in done], indent=2))
        return
    for one in done:
        _tell_compaction(one, dry_run=dry_run)
    if dry_run:
        print("nothing was changed: a dry run")
    elif any(one.made for one in done):
        print("folders of features keep their own shards; the next `unmask extract` links the new")


def _tell_compaction(one: Compaction, *, dry_run: bool) -> None:
    would = "would become" if dry_run else "became"
    if one.merged:
        print(f"{one.part}: {len(one.merged)} shards {would} {one.made_count}")
    else:
        print(f"{one.part}: nothing to merge")
    for name in one.left:
        repair = command_line("unmask", "store", "repair", one.part)
        print(f"  left out: {plain(name)}: damaged or foreign; next: {repair}")
