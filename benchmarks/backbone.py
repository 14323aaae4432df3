"""What share of the machine's matrix rates the backbone reaches in each precision.

    python benchmarks/backbone.py [--backbone resnet50-random] [--batch 32] [--rounds 6]

Chains of large matrix products in float32, bfloat16 and int8 (`matrix_rates.py`: the processor's
own peaks), TensorFlow's `tf.function` and frozen graph, OpenVINO in each precision, and PyTorch's
ResNet50 in float32 and in bfloat16 autocast, channels last (with `make bench-peers`' environment;
for a ResNet50 only), are measured in turn, for several rounds; the best round of each counts. int8
is quantized on random frames: the scales do not change its speed.

The last line is one JSON object: bfloat16_vs_float32, int8_vs_float32, int8_vs_bfloat16: rates on
OpenVINO; float32_of_peak, bfloat16_of_peak, int8_of_peak: shares of the peak of the same precision;
vs_torch_float32, vs_torch_bfloat16: in the same precision; backbone_vs_tf_function: float32 over
`tf.function`; bfloat16_cosine: of embeddings with those in float32, least; largest_difference: of
OpenVINO and TensorFlow in float32, relative to the largest embedding.

Processors with fewer units are simulated by oneDNN's variable, as AVX-512 without AMX by
ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16, and without bfloat16 by AVX512_CORE_VNNI.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.matrix_rates import CHAINS, matrix_product, seconds
from features.store.key import Precision
from models.backbones.encoder import openvino_encoder
from models.backbones.precision import UNITS, matrix_unit
from models.backbones.registry import load_backbone
from models.backbones.tensorflow_encoder import TensorFlowEncoder
from models.tf_runtime import keras, tf

ROOT = Path(__file__).parents[1]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")


def gigaflop(model: Any) -> float:
    """Of one frame through the convolutions; a multiplication and an addition counted as two."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            height, width, filters = layer.output.shape[1:]
            total += 2 * int(np.prod(layer.kernel.shape[:3])) * height * width * filters
    return total / 1e9


class Torch:
    """PyTorch's ResNet50 in a process of its own."""

    def __init__(self, batch: int) -> None:
        python = ROOT / ".venv-peers" / "bin" / "python"
        command = [str(python), str(ROOT / "benchmarks" / "peer_backbone.py"), str(batch)]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, precision: str) -> float:
        """Wall time of one batch."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{precision}\n")
        self._child.stdin.flush()
        return float(self._child.stdout.readline())

    def close(self) -> None:
        """Ends it."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(timeout=30)


def main() -> None:
    """Prints a table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet50-random")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=6)
    args = parser.parse_args()
    backbone = load_backbone(args.backbone)
    frames = np.random.default_rng(0).integers(0, 256, (args.batch, 224, 224, 3)).astype(np.uint8)
    traced = tf.function(lambda batch: backbone.model(batch, training=False))
    constant = tf.constant(frames)
    frozen = TensorFlowEncoder(backbone, batch_size=args.batch)
    measured = PRECISIONS if has_nncf() else PRECISIONS[:2]
    encoders = {one: encoder(backbone, one, frames) for one in measured}
    calls: dict[str, Callable[[], object]] = {
        "tf.function": lambda: traced(constant).numpy(),
        "TensorFlow": lambda: frozen(frames),
    }
    operations: dict[str, int] = {}  # of the matrix products
    for one, each in encoders.items():
        for chain in CHAINS:
            name = f"{one} {chain.rows} x {chain.side}"
            calls[name], operations[name] = matrix_product(one, chain)
        calls[f"OpenVINO {one}"] = lambda each=each: each(frames)  # type: ignore[misc]
    timed = {name: lambda call=call: seconds(call) for name, call in calls.items()}
    wide = backbone.architecture == "resnet50"
    torch = Torch(args.batch) if wide and (ROOT / ".venv-peers/bin/python").exists() else None
    if torch is not None:
        for one in PRECISIONS[:2]:
            timed[f"PyTorch {one}"] = lambda one=one, torch=torch: torch.seconds(one)
    for call in timed.values():
        call()
    best = dict.fromkeys(timed, float("inf"))
    for _ in range(args.rounds):
        for name, call in timed.items():
            best[name] = min(best[name], call())
    if torch is not None:
        torch.close()
    report(args.backbone, best, gigaflop(backbone.model), args.batch, operations)
    figures: dict[str, Any] = {"backbone": args.backbone}
    for one in measured:
        rate = args.batch * gigaflop(backbone.model) / best[f"OpenVINO {one}"]
        peak = max(
            made / best[name] / 1e9 for name, made in operations.items() if name.startswith(one)
        )
        figures[f"{one}_of_peak"] = round(rate / peak, 3)
    ours = {one: best[f"OpenVINO {one}"] for one in measured}
    figures["bfloat16_vs_float32"] = round(ours["float32"] / ours["bfloat16"], 2)
    if "int8" in ours:
        figures["int8_vs_float32"] = round(ours["float32"] / ours["int8"], 2)
        figures["int8_vs_bfloat16"] = round(ours["bfloat16"] / ours["int8"], 2)
    for one in PRECISIONS[:2] if torch is not None else ():
        figures[f"vs_torch_{one}"] = round(best[f"PyTorch {one}"] / ours[one], 2)
    figures["backbone_vs_tf_function"] = round(best["tf.function"] / ours["float32"], 2)
    exact, rounded = (encoders[one](frames) for one in PRECISIONS[:2])
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1)
    figures["bfloat16_cosine"] = round(float(((exact * rounded).sum(1) / lengths).min()), 6)
    reference = frozen(frames)
    difference = np.abs(exact - reference).max() / np.abs(reference).max()
    figures["largest_difference"] = float(f"{difference:.1e}")
    print(json.dumps(figures))


def has_nncf() -> bool:
    """Whether a network can be quantized here."""
    from importlib.util import find_spec

    return find_spec("nncf") is not None


def encoder(backbone: Any, precision: Precision, frames: np.ndarray) -> Any:
    """The backbone on OpenVINO."""
    if precision == "int8":
        from models.backbones.quantization import quantize

        backbone = quantize(backbone, frames[:8])
    return openvino_encoder(backbone, batch_size=len(frames), precision=precision)


def report(
    name: str, best: dict[str, float], flop: float, batch: int, operations: dict[str, int]
) -> None:
    """Prints the machine's units and the table."""
    within = os.environ.get("ONEDNN_MAX_CPU_ISA")
    units = ", ".join(f"{one} {matrix_unit(one) or 'by no unit'}" for one in UNITS)
    print(f"{name}, {flop:.2f} GFLOP a frame; {units}{f', within {within}' if within else ''}")
    for label, taken in best.items():
        if label in operations:
            print(f"{label:<20}{'':>19}{operations[label] / taken / 1e9:>9.0f} GFLOP/s")
        else:
            rate = batch / taken
            print(f"{label:<20}{rate:>8.1f} frames/s {rate * flop:>9.0f} GFLOP/s")


if __name__ == "__main__":
    main()
