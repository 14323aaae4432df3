"""Precisions of the backbone's arithmetic, and which of them this machine's processor computes in.

A precision is a part of a feature's key: `auto` is resolved before the key is made, by the machine
that makes it, and every other machine obeys the key.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from data.errors import ConfigError
from features.store.key import Precision
from models.backbones.fingerprint import BackboneFingerprint
from models.backbones.openvino_encoder import has_openvino
from models.matrix_units import UNITS, is_bfloat16_fast, matrix_unit

Choice = Precision | Literal["auto"]
"""Of the setting `extract.precision`."""


def choose_precision(
    choice: Choice, fingerprint: BackboneFingerprint, *, runtime: str = "auto"
) -> Precision:
    """The precision that a run computes in: what was chosen; for "auto" the fastest without loss.

    docs/performance.md has the evidence: features in bfloat16 give the same AUC as in float32,
    twice as fast on a processor with AVX512-BF16, several times as fast with AMX.

    Args:
        choice: the setting.
        fingerprint: of the backbone; a quantized one is int8 and nothing else.
        runtime: as in `models.backbones.encoder.make_encoder`.

    Raises:
        ConfigError: int8 of a backbone that is not quantized, or another precision of one that is.
    """
    if fingerprint.quantized:
        if choice not in ("auto", "int8"):
            raise ConfigError(
                f"{fingerprint.name} is quantized to int8, extract.precision is {choice}; set it "
                "to auto, or take the backbone that this one was made of"
            )
        return "int8"
    if choice == "int8":
        raise ConfigError(
            f"extract.precision int8 needs a quantized backbone, {fingerprint.name} is none; make "
            "it with `unmask quantize MANIFEST -o FOLDER`, then extract with --backbone FOLDER"
        )
    if choice != "auto":
        return choice
    known = fingerprint.architecture != "custom"  # whose layers may be anything
    return fastest_precision() if known and runtime != "tensorflow" else "float32"


def fastest_precision() -> Precision:
    """The precision in which this machine embeds fastest without loss."""
    fast = is_bfloat16_fast(tensorflow=False) and has_openvino() and not has_nvidia()
    return "bfloat16" if fast else "float32"


def has_nvidia() -> bool:
    """Whether there is a GPU for TensorFlow, which is not asked: its import takes seconds."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path("/dev").glob("nvidia[0-9]*"))


def slow_note(precision: Precision) -> str:
    """One line where this machine makes the numbers of a precision slower than others do, or ""."""
    if precision not in UNITS or matrix_unit(precision) is not None:
        return ""
    return (
        f"this processor has no unit for {precision} ({', '.join(UNITS[precision])}): the same "
        "embeddings are made more slowly"
    )
