"""Precisions of the backbone's arithmetic, and which of them this machine's processor computes in.

A precision is a part of a feature's key: `auto` is resolved before the key is made, by the machine
that makes it, and every other machine obeys the key.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Literal

from features.store.key import Precision
from models.backbones.openvino_encoder import has_openvino

Choice = Precision | Literal["auto"]
"""Of the setting `extract.precision`."""

UNITS: dict[Precision, tuple[str, ...]] = {
    "bfloat16": ("amx_bf16", "avx512_bf16"),
    "int8": ("amx_int8", "avx512_vnni", "avx_vnni"),
}
"""Matrix units that compute in a precision, as /proc/cpuinfo calls them, fastest first."""


@cache
def cpu_flags() -> frozenset[str]:
    """What this processor has, as Linux calls it; empty where that is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = (line.partition(":")[2] for line in lines if line.startswith("flags"))
    return frozenset(next(flags, "").split())


def matrix_unit(precision: Precision) -> str | None:
    """The unit of this processor that computes in a precision; None where it has none."""
    return next((unit for unit in UNITS.get(precision, ()) if unit in cpu_flags()), None)


def choose_precision(choice: Choice, *, runtime: str = "auto") -> Precision:
    """The precision that a run computes in: what was chosen; for "auto" the fastest without loss.

    docs/performance.md has the evidence: features in bfloat16 give the same AUC as in float32,
    several times faster where the processor computes in it.
    """
    if choice != "auto":
        return choice
    fast = runtime != "tensorflow" and has_openvino() and matrix_unit("bfloat16") is not None
    return "bfloat16" if fast else "float32"


def slow_note(precision: Precision) -> str:
    """One line where this machine makes the numbers of a precision slower than others do, or ""."""
    if precision not in UNITS or matrix_unit(precision) is not None:
        return ""
    return (
        f"this processor does not compute in {precision}: the same embeddings are made more slowly"
    )


def simulated_flags() -> str:
    """The instruction set that oneDNN was told to stay within, for benchmarks; "" for all."""
    return os.environ.get("ONEDNN_MAX_CPU_ISA", "")
