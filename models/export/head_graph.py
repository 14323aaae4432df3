"""A trained head as a graph: the layers of `models.layers.forward` in ONNX's operators.

Each function here is one of LAYERS there, number by number: float32, any mask, any B and T.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import starmap

from onnx import TensorProto, helper

from models.export.graph import BOOL, FLOAT, Graph, constant_array, tensor
from models.heads.inference import HeadNetwork
from models.layers.forward import NORMALISED, Array, Layer, split_recurrent


def add_head(graph: Graph, features: str, mask: str, network: HeadNetwork) -> str:
    """(B, T, D) float32 and (B, T) bool -> (B,) float32, the raw score."""
    network = network.scoring
    x, base = features, ""
    for number, layer in enumerate(network.layers):
        if network.base and number == network.shared:
            base = x
            for one in network.base:
                base = LAYERS[one.kind](graph, one, base, mask)
        x = LAYERS[layer.kind](graph, layer, x, mask)
    if base:
        x = graph.add("Sigmoid", graph.add("Add", x, base))
    return graph.add("Squeeze", x, graph.ints(1))


def _standardise(graph: Graph, layer: Layer, x: str, mask: str) -> str:
    mean, deviation = layer.weights
    return _present(graph, graph.binary("Div", graph.binary("Sub", x, mean), deviation), mask)


def _condition(graph: Graph, layer: Layer, x: str, mask: str) -> str:
    mean, matrix = layer.weights
    if layer.setting == NORMALISED:
        x = _normalised(graph, x)
    found = graph.binary("MatMul", graph.binary("Sub", x, mean), matrix)
    return _present(graph, found, mask)


def _scale(graph: Graph, layer: Layer, x: str, mask: str) -> str:
    return graph.binary("Mul", x, layer.setting)


def _dense(graph: Graph, layer: Layer, x: str, mask: str) -> str:
    kernel, bias = layer.weights
    x = graph.binary("Add", graph.binary("MatMul", x, kernel), bias)
    return x if layer.setting == "linear" else graph.add(ACTIVATIONS[str(layer.setting)], x)


def _lstm(graph: Graph, layer: Layer, x: str, mask: str) -> str:
    own, loop = split_recurrent(layer)
    gates = _dense(graph, own, x, mask)
    if layer.kind != "bilstm":
        return _recurrent(graph, layer.kind, loop.weights, gates, mask)
    width = 4 * loop.weights[0].shape[0]
    both = (
        _recurrent(
            graph,
            "lstm",
            (recurrent,),
            graph.slice(gates, 2, at * width, (at + 1) * width),
            mask,
            backwards=bool(at),
        )
        for at, recurrent in enumerate(loop.weights)
    )
    return graph.add("Concat", *both, axis=1)


def _recurrent(
    graph: Graph,
    kind: str,
    weights: Sequence[Array],
    gates: str,
    mask: str,
    *,
    backwards: bool = False,
) -> str:
    """(B, T, G units) -> (B, units): a loop over time, in which a masked frame leaves the state.

    ONNX's own LSTM takes a length in place of a mask.
    """
    units = weights[0].shape[0]
    batch = graph.slice(graph.add("Shape", gates), 0, 0, 1)
    shape = graph.add("Concat", batch, graph.ints(units), axis=0)
    zero = graph.add(
        "ConstantOfShape", shape, value=helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    )
    states = ("h", "c") if kind == "lstm" else ("h",)
    steps = (
        graph.add("Transpose", gates, perm=[1, 0, 2]),
        graph.add("Transpose", graph.add("Unsqueeze", mask, graph.ints(2)), perm=[1, 0, 2]),
    )
    body = Graph(prefix=f"step_{len(graph.nodes)}_")
    new = (_lstm_step if kind == "lstm" else _gru_step)(body, units)
    for state, value in zip(states, new, strict=True):
        body.named(body.add("Where", "exists", value, state), f"{state}_out")
    inside = helper.make_graph(
        body.nodes,
        f"{kind}_step",
        [
            *(tensor(name, FLOAT, ("b", units)) for name in states),
            tensor("gates", FLOAT, ("b", weights[0].shape[1])),
            tensor("exists", BOOL, ("b", 1)),
        ],
        [tensor(f"{name}_out", FLOAT, ("b", units)) for name in states],
        [
            *starmap(constant_array, zip(weights, ("recurrent", "bias"), strict=False)),
            *body.constants,
        ],
    )
    return graph.several(
        "Scan",
        *(zero for _ in states),
        *steps,
        outputs=len(states),
        body=inside,
        num_scan_inputs=2,
        scan_input_directions=[int(backwards)] * 2,
    )[0]


def _lstm_step(body: Graph, units: int) -> tuple[str, str]:
    """The next state: input, forget, cell, output."""
    z = body.add("Add", "gates", body.add("MatMul", "h", "recurrent"))
    i, f, g, o = (body.slice(z, 1, at * units, (at + 1) * units) for at in range(4))
    i, f, o = (body.add("Sigmoid", one) for one in (i, f, o))
    kept = body.add("Mul", f, "c")
    cell = body.add("Add", kept, body.add("Mul", i, body.add("Tanh", g)))
    return body.add("Mul", o, body.add("Tanh", cell)), cell


def _gru_step(body: Graph, units: int) -> tuple[str]:
    """The next state: update, reset, candidate."""
    own = body.add("Add", body.add("MatMul", "h", "recurrent"), "bias")
    sums, parts = [], []
    for at in range(3):
        sums.append(body.slice("gates", 1, at * units, (at + 1) * units))
        parts.append(body.slice(own, 1, at * units, (at + 1) * units))
    update, reset = (body.add("Sigmoid", body.add("Add", sums[at], parts[at])) for at in (0, 1))
    candidate = body.add("Tanh", body.add("Add", sums[2], body.add("Mul", reset, parts[2])))
    other = body.add("Sub", body.constant(1), update)
    kept = body.add("Mul", update, "h")
    return (body.add("Add", kept, body.add("Mul", other, candidate)),)


def _attention(graph: Graph, layer: Layer, x: str, mask: str) -> str:
    (score,) = layer.weights
    logits = graph.add("Where", mask, graph.binary("MatMul", x, score), graph.constant(-1e9))
    share = graph.add("Unsqueeze", graph.add("Softmax", logits, axis=1), graph.ints(2))
    return graph.reduce("ReduceSum", graph.add("Mul", _present(graph, x, mask), share), 1)


def _mean(graph: Graph, layer: Layer, x: str, mask: str) -> str:
    total = graph.reduce("ReduceSum", _present(graph, x, mask), 1)
    return graph.add("Div", total, _at_least_one(graph, _count(graph, mask)))


def _differences(graph: Graph, layer: Layer, x: str, mask: str) -> str:
    found = [x]
    for stride in map(int, str(layer.setting).split(",")):
        distance, both = _steps_back(graph, x, mask, stride)
        found.append(graph.add("Mul", distance, both))
    return graph.add("Concat", *found, axis=2)


def _statistics(graph: Graph, layer: Layer, x: str, mask: str) -> str:
    mean, deviation = layer.weights
    frame_norm, names = str(layer.setting).split(":")
    x = _present(graph, x, mask)
    if frame_norm == "layernorm_l2":
        x = _normalised(graph, x)
    listed = names.split(",")
    dim = len(mean) // len(listed)
    found = []
    for number, name in enumerate(listed):
        columns = slice(number * dim, (number + 1) * dim)
        value, exists = STATISTICS[name](graph, x, mask)
        standard = graph.binary(
            "Div", graph.binary("Sub", value, mean[columns]), deviation[columns]
        )
        found.append(graph.add("Where", exists, standard, graph.constant(0)))
    return graph.add("Concat", *found, axis=1)


def _mean_of_clip(graph: Graph, x: str, mask: str) -> tuple[str, str]:
    count = _count(graph, mask)
    total = graph.reduce("ReduceSum", _present(graph, x, mask), 1)
    exists = graph.binary("Greater", count, 0)
    return graph.add("Div", total, _at_least_one(graph, count)), exists


def _deviation_of_clip(graph: Graph, x: str, mask: str) -> tuple[str, str]:
    mean = graph.add("Unsqueeze", _mean_of_clip(graph, x, mask)[0], graph.ints(1))
    centred = _present(graph, graph.add("Sub", x, mean), mask)
    squares = graph.reduce("ReduceSum", graph.add("Mul", centred, centred), 1)
    count = _count(graph, mask)
    freedom = _at_least_one(graph, graph.binary("Sub", count, 1))
    variance = graph.add("Div", squares, freedom)
    return graph.add("Sqrt", variance), graph.binary("Greater", count, 1)


def _steps_of_clip(graph: Graph, x: str, mask: str) -> tuple[str, str]:
    distance, both = _steps_back(graph, x, mask, 1)
    total = graph.reduce("ReduceSum", graph.add("Mul", distance, both), 1)
    count = graph.reduce("ReduceSum", both, 1)
    exists = graph.binary("Greater", count, 0)
    return graph.add("Div", total, _at_least_one(graph, count)), exists


def _steps_back(graph: Graph, x: str, mask: str, stride: int) -> tuple[str, str]:
    """|x[t] - x[t - stride]|, (B, T, E), and 1 where both frames exist, else 0, (B, T, 1)."""
    present = graph.cast(graph.add("Unsqueeze", mask, graph.ints(2)), FLOAT)
    before = graph.ints(0, stride, 0, 0, 0, 0)
    earlier, was = (
        graph.slice(graph.add("Pad", one, before), 1, 0, -stride) for one in (x, present)
    )
    distance = graph.add("Abs", graph.add("Sub", x, earlier))
    return distance, graph.add("Mul", present, was)


def _normalised(graph: Graph, x: str) -> str:
    """Each frame without its mean over dimensions, and of length 1."""
    centred = graph.add("Sub", x, graph.reduce("ReduceMean", x, -1, keep=True))
    squares = graph.reduce("ReduceSum", graph.add("Mul", centred, centred), -1, keep=True)
    length = graph.add("Max", graph.add("Sqrt", squares), graph.constant(1e-6))
    return graph.add("Div", centred, length)


def _present(graph: Graph, x: str, mask: str) -> str:
    """(B, T, E), zero where the mask is false."""
    exists = graph.add("Unsqueeze", mask, graph.ints(2))
    return graph.add("Where", exists, x, graph.constant(0))


def _count(graph: Graph, mask: str) -> str:
    """(B, 1) float32, frames that exist."""
    return graph.reduce("ReduceSum", graph.cast(mask, FLOAT), 1, keep=True)


def _at_least_one(graph: Graph, count: str) -> str:
    return graph.add("Max", count, graph.constant(1))


LAYERS: dict[str, Callable[[Graph, Layer, str, str], str]] = {
    "standardise": _standardise,
    "condition": _condition,
    "scale": _scale,
    "dense": _dense,
    "lstm": _lstm,
    "bilstm": _lstm,
    "gru": _lstm,
    "attention": _attention,
    "mean": _mean,
    "differences": _differences,
    "statistics": _statistics,
}
"""As `models.layers.forward.LAYERS`, without the parts of others."""
STATISTICS: dict[str, Callable[[Graph, str, str], tuple[str, str]]] = {
    "mean": _mean_of_clip,
    "deviation": _deviation_of_clip,
    "steps": _steps_of_clip,
}
"""(B, D), and (B, 1) whether a clip has enough frames."""
ACTIVATIONS = {"tanh": "Tanh", "sigmoid": "Sigmoid"}
