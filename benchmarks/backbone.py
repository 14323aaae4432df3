"""What share of the machine's peak speed each runtime of the backbone reaches.

    python benchmarks/backbone.py [--backbone resnet50-random] [--batch 32] [--rounds 6]

NumPy's fp32 matrix product (the machine's peak), TensorFlow's `tf.function`, TensorFlow's frozen
graph and OpenVINO are measured in turn, for several rounds; the best round of each counts. The last
line is one JSON object: backbone_of_matmul_peak, the share of the peak that `--runtime auto`
reaches at 7.75 GFLOP a frame (ResNet50 at 224 px; not given for others); backbone_vs_tf_function,
its rate over that of `tf.function`; largest_difference, relative to the largest embedding.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from models.backbones.encoder import OpenVinoEncoder, TensorFlowEncoder, make_encoder
from models.backbones.registry import load_backbone
from models.tf_runtime import tf

GFLOP = 7.75
"""Of one frame through ResNet50 at 224 px, a multiplication and an addition counted as two."""
SIDE = 2048


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    clock = time.perf_counter()
    call()
    return time.perf_counter() - clock


def main() -> None:
    """Prints a table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet50-random")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=6)
    args = parser.parse_args()
    backbone = load_backbone(args.backbone)
    draw = np.random.default_rng(0)
    frames = draw.integers(0, 256, (args.batch, 224, 224, 3)).astype(np.uint8)
    matrix = draw.standard_normal((SIDE, SIDE)).astype(np.float32)
    traced = tf.function(lambda batch: backbone.model(batch, training=False))
    constant = tf.constant(frames)
    frozen = TensorFlowEncoder(backbone, batch_size=args.batch)
    openvino = OpenVinoEncoder(backbone, batch_size=args.batch)
    chosen = type(make_encoder(backbone, batch_size=args.batch)).__name__
    calls: dict[str, Callable[[], object]] = {
        "matrix product": lambda: matrix @ matrix,
        "tf.function": lambda: traced(constant).numpy(),
        "TensorFlowEncoder": lambda: frozen(frames),
        "OpenVinoEncoder": lambda: openvino(frames),
    }
    for call in calls.values():
        call()
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(args.rounds):
        for name, call in calls.items():
            best[name] = min(best[name], seconds(call))
    peak = 2 * SIDE**3 / best.pop("matrix product") / 1e9
    wide = backbone.architecture == "resnet50"
    print(f"{'matrix product':<22}{'':>10}{peak:>12.0f} GFLOP/s")
    for name, taken in best.items():
        rate = args.batch / taken
        reached = (
            f"{rate * GFLOP:>12.0f} GFLOP/s{rate * GFLOP / peak:>8.2f} of peak" if wide else ""
        )
        print(f"{name:<22}{rate:>10.1f} frames/s{reached}")
    reference = frozen(frames)
    difference = np.abs(openvino(frames) - reference).max() / np.abs(reference).max()
    rate = args.batch / best[chosen]
    figures = {
        "backbone": args.backbone,
        "runtime": chosen,
        "frames_per_second": round(rate, 1),
        "backbone_vs_tf_function": round(best["tf.function"] / best[chosen], 3),
        "largest_difference": float(f"{difference:.1e}"),
    }
    if wide:
        figures["backbone_of_matmul_peak"] = round(rate * GFLOP / peak, 3)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
