"""Repair of a published folder: grown anew beside the old one, which it replaces in one step.

Apart from the working store's repair, since here an index lists what belongs there and no writer's
lock exists: readers open the folder at any time and find it whole, before or after.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.errors import StoreError
from data.io.atomic_folders import check_replaceable, replace_folder
from data.io.reading import BAD_FACTS
from data.io.system_errors import cannot_write
from features.store.feature_set import entry_of, link_or_copy, read_index, write_index
from features.store.key import Recipe
from features.store.layout import INDEX
from features.store.shard import Shard
from features.upkeep.repair import Finding, Mending, examine, mend, tell


def repair_published(
    folder: Path, *, copies: Sequence[Path] = (), dry_run: bool = False
) -> list[Mending]:
    """Repairs a published folder; all that is in it but damaged shards goes on being in it.

    Args:
        folder: with an intact features.json.
        copies: folders where intact copies of its shards may be: the store, above all.
        dry_run: changes nothing.

    Raises:
        InputError: it is no folder of features.
        StoreError: the index is damaged: what belongs there is not known.
        OutputError: it cannot be written; the old folder is as it was.
    """
    if not dry_run:
        check_replaceable(folder, marker=INDEX)
    facts = read_index(folder)
    try:
        recipe = Recipe.from_json(facts["recipe"])
        entries = {Path(str(entry["file"])).name: dict(entry) for entry in facts["shards"]}
    except BAD_FACTS as error:
        raise StoreError(f"{folder / INDEX} is damaged; extract again") from error
    findings = {name: examine(folder / name, recipe.digest, copies) for name in entries}
    held = {key for finding in findings.values() for key in finding.kept}
    damaged = {name: finding for name, finding in findings.items() if finding.message}
    mended: dict[str, Path | None] = {}
    if not dry_run and any(_changes(finding) for finding in damaged.values()):
        with replace_folder(folder, marker=INDEX) as new:
            mended = _grow(new, folder, facts, entries, damaged)
    mendings = []
    for name, finding in damaged.items():
        one = tell(finding, mended.get(name), held, Path(name))
        if _is_foreign(finding) or one.unnamed is None:
            one = replace(one, unnamed=int(entries[name].get("videos", 0)))
        mendings.append(one)
    return mendings


def _changes(finding: Finding) -> bool:
    return finding.ours_to_mend or _is_foreign(finding)


def _is_foreign(finding: Finding) -> bool:
    """Whether it is of another recipe: it stays in the folder, but the index lists it no more."""
    return finding.shard is not None and not finding.ours_to_mend


def _grow(
    new: Path,
    folder: Path,
    facts: dict[str, Any],
    entries: dict[str, dict[str, Any]],
    damaged: dict[str, Finding],
) -> dict[str, Path | None]:
    """Fills the new folder: the old one's files as links, shards for the damaged ones, an index.

    Returns:
        The new shard of each damaged one.
    """
    gone = {name for name, finding in damaged.items() if finding.ours_to_mend}
    foreign = {name for name, finding in damaged.items() if _is_foreign(finding)}
    for path in sorted(folder.iterdir()):
        if path.name == INDEX or path.name in gone:
            continue
        if path.is_dir():
            shutil.copytree(path, new / path.name, copy_function=_carry)
        else:
            _carry(str(path), str(new / path.name))
    mended = {name: mend(damaged[name], new) for name in sorted(gone)}
    listed = [entry for name, entry in entries.items() if name not in gone | foreign]
    names = {entry["file"] for entry in listed}
    for path in {path for path in mended.values() if path is not None}:
        if path.name not in names:
            listed.append(entry_of(path, Shard(path)))
    listed.sort(key=lambda entry: str(entry["file"]))
    write_index(new, facts | {"shards": listed})
    return mended


def _carry(source: str, target: str) -> str:
    try:
        return str(link_or_copy(Path(source), Path(target)))
    except OSError as error:
        raise cannot_write(target, error) from error
