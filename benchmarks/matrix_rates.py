"""This machine's own rates of matrix products in float32, bfloat16 and int8, by OpenVINO.

Chains of products with constant weights, compiled as the backbone is: what the processor's units
reach where nothing but multiplying is to be done. Which shape is the fastest differs by unit and
cache, so three are measured and the best counts: one large product shared by all cores, and two
smaller ones whose chain each thread has for itself. int8 products have fake quantization on both
sides, as NNCF writes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from features.store.key import Precision
from models.backbones.openvino_encoder import core, settings


@dataclass(frozen=True)
class Chain:
    """Products of (rows, side) and (side, side), one after the other; 4 and more of them, so that
    converting what goes in and comes out is a small part."""

    rows: int
    side: int
    products: int
    shared: bool  # by all threads, or one for each


CHAINS = (Chain(2048, 2048, 4, True), Chain(1024, 1024, 16, False), Chain(2048, 256, 128, False))


def matrix_product(precision: Precision, chain: Chain) -> tuple[Callable[[], object], int]:
    """One call of a chain, on all cores, and its operations.

    A multiplication and an addition are two operations.
    """
    import openvino
    from openvino import opset13 as ops

    side = chain.side
    draw = np.random.default_rng(0)
    rows = ops.parameter([chain.rows, side], np.float32, name="rows")
    value = rows
    for _ in range(chain.products):
        weights = (draw.standard_normal((side, side)) / np.sqrt(side)).astype(np.float32)
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
    options = settings(precision, None)
    count = 1 if chain.shared else options["INFERENCE_NUM_THREADS"]
    compiled = core().compile_model(model, "CPU", options | {"NUM_STREAMS": count})
    requests = [compiled.create_infer_request() for _ in range(count)]
    given = draw.standard_normal((chain.rows, side)).astype(np.float32)

    def call() -> None:
        for request in requests:
            request.start_async([given], share_inputs=True)
        for request in requests:
            request.wait()

    return call, 2 * chain.rows * side**2 * chain.products * count


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    clock = time.perf_counter()
    call()
    return time.perf_counter() - clock
