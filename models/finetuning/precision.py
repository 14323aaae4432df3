"""The precision of fine-tuning's arithmetic: what was asked for, as far as this machine has it.

Weights, Adam's moments, the loss and the dense layer are float32 in every precision.
"""

from __future__ import annotations

from typing import Literal

from data.errors import ConfigError
from models.configs import FinetuneConfig
from models.matrix_units import LIMITS, is_bfloat16_fast, matrix_unit
from models.tf_runtime import tf

PRECISIONS: tuple[Literal["float32", "bfloat16", "float16"], ...] = (
    "float32", "bfloat16", "float16",
)  # fmt: skip
"""That a run may compute in."""


def has_gpu() -> bool:
    """Whether TensorFlow computes on a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def resolve_precision(config: FinetuneConfig) -> tuple[FinetuneConfig, str]:
    """The configuration with the precision that this machine computes in.

    "auto" is bfloat16 on a processor with AMX or AVX512-BF16, else float32; without either,
    bfloat16 becomes float32. Where oneDNN may not use these, "auto" is float32: held to
    AVX512-BF16, a processor with AMX took 1.4 times as long in bfloat16.

    Returns:
        the configuration, its precision float32, bfloat16 or float16; and one line for the user
        where it is not what was asked for or slow, else "".

    Raises:
        ConfigError: float16 without a GPU, or bfloat16 with one.
    """
    gpu = has_gpu()
    chosen = config.precision
    if chosen == "auto":
        fast = not gpu and is_bfloat16_fast(tensorflow=True)
        return config.replace(precision="bfloat16" if fast else "float32"), ""
    if chosen == "float16" and not gpu:
        raise ConfigError(
            "finetune.precision float16 needs TensorFlow on a GPU; set it to auto on this machine"
        )
    if chosen == "bfloat16" and gpu:
        raise ConfigError("finetune.precision bfloat16 is for processors; on a GPU take float16")
    if chosen != "bfloat16" or is_bfloat16_fast(tensorflow=True):
        return config, ""
    if matrix_unit("bfloat16") is None:
        note = "this processor does not compute in bfloat16: fine-tuning computes in float32"
        return config.replace(precision="float32"), note
    return config, (
        f"{LIMITS[0]}, or another variable, keeps oneDNN from the processor's units: fine-tuning "
        "in bfloat16 may be slower than in float32"
    )
