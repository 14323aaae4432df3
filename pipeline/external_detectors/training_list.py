"""`--trained-on LIST.csv`: what another detector was trained on, for the leak guard.

unmask knows its own bundles' training videos and cannot know those of another detector. A list of
them has a column `path`, `sha256` or `group`, or several, as manifests have; of a table with a
column `split`, the rows of train and val count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.datasets.manifest import Video
from data.errors import InputError
from data.io.tables import Table, from_text
from pipeline.leakage import refuse_seen_among, seen_among
from pipeline.score_files.matching import Matcher
from pipeline.score_files.records import ScoreRow

COLUMNS = ("path", "sha256", "group")
UNKNOWN = (
    "what this detector was trained on is not known to unmask: if these people, or their videos, "
    "were among it, the result is too good; --trained-on LIST.csv checks it"
)


@dataclass(frozen=True, kw_only=True)
class Training:
    """What was checked of a detector's training."""

    words: str  # what is known of it
    seen: str = ""  # which measured videos it was trained on, in words; empty if none
    leaks: tuple[str, ...] = ()  # warnings of validation videos that it was trained on


def check_training(
    path: Path | None,
    manifest: Sequence[Video],
    measured: Sequence[Video],
    chosen_by: Sequence[Video],
    *,
    allow_seen: bool,
) -> Training:
    """Compares a list of training videos with those of an evaluation.

    Args:
        path: of the list; None where there is none.
        manifest: all its videos.
        measured: those that are evaluated.
        chosen_by: those by which threshold and calibration are chosen.
        allow_seen: continue where a measured video or group was seen.

    Raises:
        InputError: the list cannot be read.
        LeakError: a measured video or group is in it, and `allow_seen` is false.
    """
    if path is None:
        return Training(words=UNKNOWN)
    rows, part, elsewhere = _read(path, manifest)
    seen = refuse_seen_among([part], measured, allow_seen=allow_seen, where=f"{path}: ")
    leaks = []
    if known := seen_among(chosen_by, [part]):
        leaks.append(
            f"this detector was trained on {len(known.people)} of the groups of the validation "
            f"split, {known.people[0]} for one: its threshold and its calibration were chosen on "
            "people whom it knows"
        )
    words = f"checked against the {rows} rows of {path.name}"
    if elsewhere:
        words += f"; {elsewhere} of them name no video of the manifest"
    return Training(words=words, seen=seen, leaks=tuple(leaks))


def _read(path: Path, manifest: Sequence[Video]) -> tuple[int, Mapping[str, Sequence[str]], int]:
    """Number of rows, digests and groups of training, and number of paths that are not known."""
    table = Table(path, (*COLUMNS, "split"), needed=(),
                  missing=f"the list {path} does not exist; see --trained-on")  # fmt: skip
    held = [name for name in COLUMNS if name in table.columns]
    if not held:
        raise InputError(
            f"{path} has none of the columns {', '.join(COLUMNS)}; --trained-on takes a list of "
            "videos or of groups"
        )
    table.require(held)
    matcher = Matcher(manifest, "path")
    sha256s: set[str] = set()
    groups: set[str] = set()
    rows = elsewhere = 0
    for row in table:
        if row.cells.get("split", "").strip() == "test":
            continue
        cells = {name: row.cells[name].strip() for name in held}
        if not any(cells.values()):
            raise InputError(f"{row.place}: {' and '.join(held)} are empty; fill one in")
        rows += 1
        if cells.get("group"):
            groups.add(from_text(cells["group"]))
        if cells.get("sha256"):
            sha256s.add(cells["sha256"].casefold())
        if cells.get("path"):
            one = ScoreRow(row.line, from_text(cells["path"]), "", 0.0)
            index, _ = matcher.find(one, row.place)
            if index is None:
                elsewhere += 1
            else:
                sha256s.add(manifest[index].sha256)
                groups.add(manifest[index].group)
    if not rows:
        raise InputError(f"{path} lists no video of training; see --trained-on")
    return rows, {"sha256s": sorted(sha256s), "groups": sorted(groups)}, elsewhere
