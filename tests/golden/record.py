"""Records crops and embeddings of the golden videos: `python -m tests.golden.record`.

It refuses a pixels version that has a record. `--replace` overwrites it: only before that version
is released, since otherwise different features would have the same key.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

from data.pixels_version import PIXELS_VERSION
from pipeline.doctor.self_test import BACKBONE, CLIP, GOLDEN
from tests.golden.golden import (
    CASES,
    EMBEDDED,
    FOLDER,
    Golden,
    differences,
    load_golden,
    make_crops,
    make_embeddings,
    make_view,
    path_of,
)

DOCTOR = Path(__file__).parents[2] / "pipeline" / "doctor"


def copy_for_doctor(golden: Golden) -> None:
    """Puts what `unmask doctor` compares with into its package, from where a wheel takes it."""
    kept = {"crops": f"{EMBEDDED} crops", "embeddings": f"{BACKBONE} embeddings"}
    with (DOCTOR / GOLDEN).open("wb") as file:
        np.savez_compressed(file, **{name: golden[one] for name, one in kept.items()})  # type: ignore[arg-type]
    shutil.copyfile(FOLDER / "videos" / CASES[EMBEDDED][0], DOCTOR / CLIP)


def record(path: Path, *, replace: bool) -> int:
    """Writes the record; returns the exit code."""
    if path.exists() and not replace:
        print(
            f"{path.name} is recorded. If pixels changed, raise PIXELS_VERSION in "
            "data/pixels_version.py and run this again; --replace overwrites the record of a "
            "version that was never released",
            file=sys.stderr,
        )
        return 2
    crops = make_crops()
    made = crops | make_embeddings(crops[f"{EMBEDDED} crops"]) | make_view(crops)
    if path.exists():
        found = differences(made, load_golden())
        print("\n".join(found) or "as recorded, to within what is borne")
    with path.open("wb") as file:
        np.savez_compressed(file, **made)  # type: ignore[arg-type]
    copy_for_doctor(made)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB, pixels version {PIXELS_VERSION}")
    return 0


if __name__ == "__main__":
    sys.exit(record(path_of(), replace="--replace" in sys.argv[1:]))
