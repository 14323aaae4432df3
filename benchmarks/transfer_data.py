"""The data of benchmarks/transfer.py: real faces, true fakes, and forgeries made of the reals.

Everything is kept in a folder and made again only where an input changed: `forge`, `index` and
`extract` look after that. No pixel leaves the folder.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRUE, MADE = "faces", "forged"
"""Folders of the two parts, which the paths in the manifest begin with."""
COLUMNS = ("path", "label", "group", "method", "original")


def unmask(*arguments: object) -> None:
    """Runs a command of this checkout."""
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def prepare(
    faces: Path, work: Path, *, backbone: str, settings: Iterable[str]
) -> tuple[Path, Path]:
    """Forges, indexes and extracts what is not there yet.

    Args:
        faces: folder with labels.csv as ../shared/faces has it.
        work: where everything is kept.
        backbone: name or path.
        settings: KEY=VALUE of `forge` and `frames`.

    Returns:
        The manifest of all videos and their feature set.
    """
    given = [word for one in settings for word in ("--set", one)]
    data = work / "data"
    data.mkdir(parents=True, exist_ok=True)
    link = data / TRUE
    if not link.is_symlink():
        link.symlink_to(faces.resolve(), target_is_directory=True)
    unmask("forge", faces, data / MADE, *given, "--quiet")
    write_labels(data)
    manifest, features = work / "manifest.csv", work / "features"
    unmask("index", data, "-o", manifest, "--quiet")
    store = ("--store", work / "store", "--backbone", backbone, "--quiet")
    unmask("extract", manifest, "--root", data, "-o", features, *store, *given)
    return manifest, features


def write_labels(data: Path) -> None:
    """One table of both parts. People who share a swap, or a clip, are one group."""
    rows = []
    joined: dict[str, str] = {}

    def root(name: str) -> str:
        while joined.setdefault(name, name) != name:
            name = joined[name]
        return name

    for part in (TRUE, MADE):
        with (data / part / "labels.csv").open(encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle):
                people = [row[key] for key in ("group", "target", "source") if row.get(key)]
                for other in people[1:]:
                    one, two = sorted((root(people[0]), root(other)))
                    joined[two] = one
                original = f"{part}/{row['original']}" if row.get("original") else ""
                rows.append(row | {"path": f"{part}/{row['path']}", "original": original})
    lines = [{name: row[name] for name in COLUMNS} | {"group": root(row["group"])} for row in rows]
    with (data / "labels.csv").open("w", encoding="utf-8", newline="") as handle:
        table = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(lines)
