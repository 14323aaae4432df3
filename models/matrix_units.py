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

LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Variables that limit the instructions that oneDNN may use; the first that is set counts."""
ALLOWING = {"amx_bf16": ("AMX",), "avx512_bf16": ("BF16", "FP16", "AVX10", "AMX")}
"""Unit -> parts of the names of instruction sets that have it."""


@cache
def cpu_flags() -> frozenset[str]:
    """What this processor has, as Linux calls it; empty where that is unknown."""
    return frozenset(processor_facts("flags").split())


def matrix_unit(precision: str) -> str | None:
    """The unit of this processor that computes in a precision; None where it has none."""
    return next((unit for unit in UNITS.get(precision, ()) if unit in cpu_flags()), None)


def is_bfloat16_fast(*, tensorflow: bool) -> bool:
    """Whether bfloat16 takes less time than float32: its unit is there, and oneDNN may use it.

    On a processor with AMX that was held to AVX512-BF16, it was slower than float32; on one that
    has AVX512-BF16 alone it takes half the time.

    Args:
        tensorflow: by TensorFlow, which may be told to do without oneDNN; or by OpenVINO.
    """
    unit = matrix_unit("bfloat16")
    if unit is None or (tensorflow and os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0"):
        return False
    limit = next((os.environ[name] for name in LIMITS if os.environ.get(name)), "ALL").upper()
    return limit in ("ALL", "DEFAULT") or any(one in limit for one in ALLOWING[unit])
