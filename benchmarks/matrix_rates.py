"""This machine's own rates of matrix products in float32, bfloat16 and int8, by OpenVINO.

A chain of large square products with constant weights, compiled as the backbone is: what the
processor's units reach where nothing but multiplying is to be done. int8 products have fake
quantization on both sides, as NNCF writes it. In this module since two benchmarks use it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from features.store.key import Precision
from models.backbones.openvino_encoder import core, settings

SIDE = 2048
PRODUCTS = 4
"""In a chain, so that the conversion of what goes in and comes out is a small part."""
OPERATIONS = 2 * SIDE**3 * PRODUCTS
"""Of one call; a multiplication and an addition counted as two."""


def matrix_product(precision: Precision) -> Callable[[], object]:
    """One call of the chain, on all cores."""
    import openvino
    from openvino import opset13 as ops

    draw = np.random.default_rng(0)
    rows = ops.parameter([SIDE, SIDE], np.float32, name="rows")
    value = rows
    for _ in range(PRODUCTS):
        weights = (draw.standard_normal((SIDE, SIDE)) / np.sqrt(SIDE)).astype(np.float32)
        if precision == "int8":
            peak = np.float32(np.abs(weights).max())
            constant = ops.fake_quantize(
                ops.constant(weights), -peak, peak, -peak, peak, levels=255
            )
            low, high = np.float32(-4), np.float32(4 * 127 / 128)
            value = ops.fake_quantize(value, low, high, low, high, levels=256)
        else:
            constant = ops.constant(weights)
        value = ops.matmul(value, constant, False, False)
    model = openvino.Model([value], [rows])
    compiled = core().compile_model(model, "CPU", settings(precision, None))
    request = compiled.create_infer_request()
    given = draw.standard_normal((SIDE, SIDE)).astype(np.float32)
    return lambda: request.infer([given], share_inputs=True)


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    clock = time.perf_counter()
    call()
    return time.perf_counter() - clock
