"""Scores in a JSON: what DeepfakeBench's results hold, and plain forms.

DeepfakeBench writes its results as pickles, which are refused; the same dictionaries as JSON are

    {"image": ["…/frames/071_054/000.png", …], "pred": [0.93, …], "label": [1, …]}

with a list of images where a model takes clips, alone or under the names of data sets. Other forms:

    {"real/a.mp4": 0.1, "fake/b.mp4": [0.8, 0.9]}       a score, or scores of frames, by path
    [{"path": "real/a.mp4", "score": 0.1}, …]           rows, with the columns of a CSV
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.io.reading import read_json, shown
from pipeline.score_files.csv_files import check_score, choose_columns, read_label, read_score
from pipeline.score_files.formats import DOCS
from pipeline.score_files.records import ScoreFile, ScoreRow

MOST_BYTES = 256 << 20
"""A million frames of DeepfakeBench have 100 MB; parsed, JSON takes ten times its size."""
BENCH = ("image", "pred")


def read_json_scores(path: Path, columns: Mapping[str, str]) -> ScoreFile:
    """Opens a JSON; `columns` names keys of rows.

    Raises:
        InputError: it is no JSON, or of another form.
    """
    tree: Any = read_json(path, remedy="write it again", most_bytes=MOST_BYTES, nan=True)
    kind = "JSON of DeepfakeBench"
    if _is_bench(tree):
        rows = _bench(path, {"": tree})
    elif isinstance(tree, dict) and tree and all(map(_is_bench, tree.values())):
        rows = _bench(path, tree)
    elif isinstance(tree, dict) and tree:
        kind, rows = "JSON", _by_path(path, tree)
    elif isinstance(tree, list) and tree:
        kind, rows = "JSON", _records(path, tree, columns)
    else:
        raise InputError(f"{path} holds no score; {DOCS}, lists the forms that are read")
    return ScoreFile(kind=kind, unit="entry", rows=rows)


def _is_bench(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), list) for name in BENCH)


def _bench(path: Path, parts: Mapping[str, Mapping[str, list[Any]]]) -> Iterator[ScoreRow]:
    """Rows of DeepfakeBench's dictionaries, by data set."""
    entry = 0
    for name, part in parts.items():
        images, scores, labels = part["image"], part["pred"], part.get("label")
        where = f"{path}, {name[:40]!r}" if name else str(path)
        for word, held in (("pred", scores), ("label", labels)):
            if held is not None and (not isinstance(held, list) or len(held) != len(images)):
                size = len(held) if isinstance(held, list) else "no list"
                raise InputError(
                    f"{where}: image has {len(images)} entries and {word} has {size}; export all "
                    "of one run"
                )
        for row, (image, score) in enumerate(zip(images, scores, strict=True)):
            entry += 1
            place = f"{path}, entry {entry}"
            frames = image if isinstance(image, list) else [image]
            if not frames or not all(isinstance(one, str) and one for one in frames):
                raise InputError(f"{place}: the image must be a path, got {shown(image)}")
            label = None if labels is None else read_label(str(labels[row]))
            yield ScoreRow(entry, frames[0], "", _number(score, place), label)


def _by_path(path: Path, tree: Mapping[str, Any]) -> Iterator[ScoreRow]:
    """Rows of an object with a score, or a list of scores, for each path."""
    for entry, (video, value) in enumerate(tree.items(), 1):
        place = f"{path}, entry {entry}"
        if isinstance(value, list):
            for frame, score in enumerate(value):
                yield ScoreRow(entry, video, str(frame), _number(score, place))
        else:
            yield ScoreRow(entry, video, "", _number(value, place))


def _records(path: Path, rows: list[Any], columns: Mapping[str, str]) -> Iterator[ScoreRow]:
    """Rows of a list of objects; the first one's keys say what is what."""
    chosen: dict[str, str] = {}
    for entry, row in enumerate(rows, 1):
        place = f"{path}, entry {entry}"
        if not isinstance(row, dict):
            raise InputError(f"{place}: it must be an object with path and score, got {shown(row)}")
        cells = {name.strip().casefold(): value for name, value in row.items()}
        chosen = chosen or choose_columns(path, set(cells), columns)
        found = {what: cells.get(name) for what, name in chosen.items()}
        if not isinstance(found["path"], str) or not found["path"]:
            raise InputError(
                f"{place}: {chosen['path']} must be a path, got {shown(found['path'])}"
            )
        texts = {what: "" if value is None else str(value) for what, value in found.items()}
        yield ScoreRow(
            place=entry,
            video=found["path"],
            frame=texts.get("frame", ""),
            score=_number(found["score"], place),
            label=read_label(texts.get("label", "")),
            method=texts.get("method", ""),
            compression=texts.get("compression", ""),
        )


def _number(value: Any, place: str) -> float:
    """A score; NaN for null and NaN. One number in a list is this number."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return math.nan
    if isinstance(value, str):
        return read_score(value, place)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{place}: the score must be a number, got {shown(value)}")
    try:
        score = float(value)
    except OverflowError:
        score = math.inf
    return score if math.isnan(score) else check_score(score, place)
