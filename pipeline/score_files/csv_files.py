"""Scores in a CSV: which column is what, and one row at a time.

    path,score                                       a score for each video
    path,frame,score                                 one for each frame or clip
    image,pred,label                                 one for each frame, the path being an image's
    dataset,key,compression,label,score,status,...   a score file of deepfake-workbench

Columns are found by their usual names, or named by `--columns`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from data.datasets.layouts.listing import label_of
from data.errors import ConfigError, InputError
from data.io.tables import Row, Table, from_text
from pipeline.score_files.formats import DOCS
from pipeline.score_files.records import ScoreFile, ScoreRow
from pipeline.score_files.workbench import FRAMES, KEYS, SCORES, STATUS, read_meta

USUAL = {
    "path": "path video video_path videopath file filename file_name filepath file_path image "
    "image_path img img_path frame_path video_name video_id name key id",
    "score": "score prob probability pred prediction p_fake fake_prob fake_score prob_fake "
    "score_fake logit output",
    "frame": "frame frame_index frame_idx frame_id clip clip_index clip_id",
    "label": "label",
    "method": "method",
    "compression": "compression",
}
"""What a column is for -> its usual names; the first is taken where there are several."""
NONE = frozenset(("", "nan", "none", "null", "na", "n/a", "-"))
"""Cells of a video without a score, in lower case."""
LARGEST = 1e30
"""Larger scores are refused: their sums would overflow."""


def parse_columns(text: str) -> dict[str, str]:
    """Reads `--columns path=NAME,score=NAME,...`: what a column is for -> its name in lower case.

    Raises:
        ConfigError: it is something else.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        what, equals, name = (piece.strip() for piece in part.partition("="))
        if what not in USUAL or not equals or not name or what in found:
            raise ConfigError(
                f"--columns must be path=NAME,score=NAME with {', '.join(USUAL)} before the "
                f"equals signs, each once, got {part!r}"
            )
        found[what] = name.casefold()
    return found


def read_csv(path: Path, columns: Mapping[str, str]) -> ScoreFile:
    """Opens a CSV; `columns` as `parse_columns` gives them.

    Raises:
        InputError: it is no CSV, or a column is missing or may be one of several.
    """
    wanted = {name for names in USUAL.values() for name in names.split()} | {*columns.values()}
    table = Table(path, sorted(wanted | {*KEYS, *SCORES, *FRAMES}), needed=())
    held = set(table.columns)
    facts: Mapping[str, str] = {}
    if not columns and {*KEYS, *SCORES} <= held:
        table.require((*KEYS, *SCORES))
        chosen = {"path": "key", "score": "score", "label": "label", "compression": "compression"}
        if "method" in held:
            chosen["method"] = "method"
        kind, facts = "score file of deepfake-workbench", read_meta(path)
        return ScoreFile(kind=kind, unit="line", rows=_rows(table, path, chosen), match="name",
                         facts=facts)  # fmt: skip
    if {*KEYS, *FRAMES} <= held:
        chosen = {"path": "key", "score": "frame_score", "frame": "frame_index",
                  "compression": "compression", **columns}  # fmt: skip
        _check(path, held, chosen)
        table.require(chosen.values())
        kind = "scores of frames by deepfake-workbench"
        return ScoreFile(kind=kind, unit="line", rows=_rows(table, path, chosen), match="name")
    chosen = choose_columns(path, held, columns)
    table.require(chosen.values())
    return ScoreFile(kind="CSV", unit="line", rows=_rows(table, path, chosen))


def _check(path: Path, held: set[str], chosen: Mapping[str, str]) -> None:
    """Raises InputError where a column that the user named is not there."""
    for name in chosen.values():
        if name not in held:
            listed = ", ".join(sorted(held - {""}))[:200]
            raise InputError(f"{path} has no column {name!r}; it has {listed}: see --columns")


def choose_columns(path: Path, held: set[str], columns: Mapping[str, str]) -> dict[str, str]:
    """What a column is for -> its name, of the columns that there are.

    Raises:
        InputError: one is missing, or may be one of several.
    """
    _check(path, held, columns)
    chosen = dict(columns)
    for what, names in USUAL.items():
        usual = [name for name in names.split() if name in held - {*chosen.values()}]
        if what in chosen or not usual:
            continue
        if len(usual) > 1 and usual[0] != what and what in ("path", "score"):
            raise InputError(
                f"{path} has several columns that may be the {what}: {', '.join(usual)}; "
                f"name one, as in --columns {what}={usual[0]}"
            )
        chosen[what] = usual[0]
    for what in ("path", "score"):
        if what not in chosen:
            listed = ", ".join(sorted(held - {""}))[:200] or "none"
            raise InputError(
                f"{path} has no column {what} (columns: {listed}); write a CSV with the columns "
                f"path,score, or name them, as in --columns path=video,score=p ({DOCS})"
            )
    return chosen


def _rows(table: Table, path: Path, chosen: Mapping[str, str]) -> Iterator[ScoreRow]:
    """Every row.

    Raises:
        InputError: a row is too short, or a cell cannot be meant; the line is named.
    """
    clip = "clip_index" if chosen.get("frame") == "frame_index" else ""
    status = STATUS if chosen["path"] == "key" and STATUS in table.columns else ""
    for row in table:
        cells = row.cells
        video = cells[chosen["path"]].strip()
        if not video:
            raise InputError(f"{row.place}: the {chosen['path']} is empty; fill it in")
        score = read_score(cells[chosen["score"]], row.place)
        if status:
            _check_status(row, score)
        frame = cells[chosen["frame"]].strip() if "frame" in chosen else ""
        if "frame" in chosen and not frame:
            raise InputError(f"{row.place}: the {chosen['frame']} is empty; fill it in")
        if clip:
            frame = f"{cells.get(clip, '')}/{frame}"
        yield ScoreRow(
            place=row.line,
            video=from_text(video),
            frame=frame,
            score=score,
            label=read_label(cells[chosen["label"]]) if "label" in chosen else None,
            method=cells[chosen["method"]].strip() if "method" in chosen else "",
            compression=cells[chosen["compression"]].strip() if "compression" in chosen else "",
        )


def _check_status(row: Row, score: float) -> None:
    """Raises InputError where a row of deepfake-workbench contradicts itself."""
    status = row.cells[STATUS].strip()
    if status not in ("ok", "missing", "error"):
        raise InputError(f"{row.place}: the status must be ok, missing or error, got {status!r}")
    if (status == "ok") == math.isnan(score):
        expected = "a score" if status == "ok" else "no score"
        raise InputError(f"{row.place}: a video of status {status} must have {expected}")


def read_score(text: str, place: str) -> float:
    """A score; NaN where there is none.

    Raises:
        InputError: it is no number, or one that is not finite.
    """
    word = text.strip().casefold()
    if word in NONE:
        return math.nan
    try:
        score = float(word if "_" not in word else "")
    except ValueError as error:
        remedy = "write numbers with a point" if "," in text else "leave it empty if there is none"
        raise InputError(f"{place}: the score cannot be {text[:40]!r}; {remedy}") from error
    return check_score(score, place)


def check_score(score: float, place: str) -> float:
    """Refuses infinite scores, and those whose sums would be."""
    if not abs(score) <= LARGEST:
        raise InputError(
            f"{place}: the score must be a finite number, got {score:g}; clip it, or leave it "
            "empty for a video without score"
        )
    return score


def read_label(text: str) -> int | None:
    """A label, 1 = fake: numbers from 1 on are kinds of fakes. None for anything else."""
    word = text.strip()
    try:
        return int(float(word) >= 1)
    except (ValueError, OverflowError):
        return label_of(word)
