"""The matrix units of this processor, by which a precision is chosen."""

from __future__ import annotations

import os
from functools import cache

from data.operating_system.machine import processor_facts

UNITS: dict[str, tuple[str, ...]] = {
    "bfloat16": ("amx_bf16", "avx512_bf16"),
    "int8": ("amx_int8", "avx512_vnni", "avx_vnni"),
}
"""Matrix units that compute in a precision, as /proc/cpuinfo calls them, fastest first."""

LIMIT = "ONEDNN_MAX_CPU_ISA"
"""Variable that limits the instructions that oneDNN may use."""
NO_LIMITS = ("", "ALL", "DEFAULT")


@cache
def cpu_flags() -> frozenset[str]:
    """What this processor has, as Linux calls it; empty where that is unknown."""
    return frozenset(processor_facts("flags").split())


def matrix_unit(precision: str) -> str | None:
    """The unit of this processor that computes in a precision; None where it has none."""
    return next((unit for unit in UNITS.get(precision, ()) if unit in cpu_flags()), None)


def is_fast(precision: str) -> bool:
    """Whether the processor has a unit for it that oneDNN, of TensorFlow and OpenVINO, may use.

    On a processor with AMX that oneDNN's variable held to AVX512-BF16, bfloat16 was slower than
    float32; on one that has AVX512-BF16 alone it is faster.
    """
    limited = os.environ.get(LIMIT, "").upper() not in NO_LIMITS
    return matrix_unit(precision) is not None and not limited
