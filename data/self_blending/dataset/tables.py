"""The tables of a forged data set: labels.csv for `index`, forgeries.csv with every parameter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.io.atomic_files import write_text
from data.io.tables import to_csv
from data.self_blending.dataset.plan import Item

LABELS = "labels.csv"
FORGERIES = "forgeries.csv"


def write_tables(out: Path, plan: Sequence[Item]) -> None:
    """Writes both tables, sorted by path.

    In labels.csv `original` is the real copy that a forgery was made from; `target` is the group of
    the person who is filmed, `source` that of the person whose face is shown.

    Raises:
        OutputError: they cannot be written.
    """
    people = {item.source.name: item.source.group for item in plan}
    labels: list[dict[str, str]] = []
    forgeries: list[dict[str, str]] = []
    for item in plan:
        common = {"group": item.group, "split": item.source.split, "target": item.source.group}
        if item.source.origin:
            common["origin"] = item.source.origin
        labels.append({"path": item.path, "label": "real", "method": "real"} | common)
        for one in item.forgeries:
            made_from = {"path": one.path, "original": item.path}
            method = f"forged-{one.parameters.method}"
            source = people.get(one.donor, item.source.group)
            labels.append(
                made_from | {"label": "fake", "method": method, "source": source} | common
            )
            made_by = {"video": item.source.name, "donor": one.donor, "crf": str(item.crf)}
            forgeries.append(made_from | made_by | one.parameters.to_row())
    columns = ["path", "label", "group", "method", "split", "target", "source", "original"]
    if any("origin" in row for row in labels):
        columns.append("origin")
    write_text(out / LABELS, to_csv(columns, labels))
    write_text(out / FORGERIES, to_csv(tuple(forgeries[0]) if forgeries else ("path",), forgeries))
