"""The matrix units of this processor, by which a precision is chosen."""

from __future__ import annotations

from functools import cache

from data.operating_system.machine import processor_facts

UNITS: dict[str, tuple[str, ...]] = {
    "bfloat16": ("amx_bf16", "avx512_bf16"),
    "int8": ("amx_int8", "avx512_vnni", "avx_vnni"),
}
"""Matrix units that compute in a precision, as /proc/cpuinfo calls them, fastest first."""


@cache
def cpu_flags() -> frozenset[str]:
    """What this processor has, as Linux calls it; empty where that is unknown."""
    return frozenset(processor_facts("flags").split())


def matrix_unit(precision: str) -> str | None:
    """The unit of this processor that computes in a precision; None where it has none."""
    return next((unit for unit in UNITS.get(precision, ()) if unit in cpu_flags()), None)
