"""docs/store-format.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np

from data.errors import FAILURE_CLASSES
from features.store.verify import ProblemClass

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "store-format.md").read_text()
SHARD = ROOT / "tests" / "features" / "archives" / "version-1.h5"


def test_its_example_reads_a_shard() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {"path": SHARD}
    exec(code, names)  # noqa: S102 - our own text
    sequences = names["sequences"]
    assert list(sequences) == ["real/anna.mp4", "fake/anna à la carte.mp4"]
    np.testing.assert_array_equal(sequences["real/anna.mp4"], np.arange(12).reshape(3, 4) / 8)


def test_it_names_all_that_is_in_a_shard() -> None:
    with h5py.File(SHARD, "r") as file:
        inside = [*file, *file.attrs]
    assert [name for name in inside if f"`{name}`" not in TEXT] == []


def test_it_names_all_classes() -> None:
    classes = [*FAILURE_CLASSES, *get_args(ProblemClass)]
    assert [name for name in classes if f"`{name}`" not in TEXT] == []
