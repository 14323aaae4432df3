"""An ONNX graph that is written node by node: names are given, constants kept once.

The networks are unmask's own, and a verdict's arithmetic is NumPy's, which no converter reads: so
each graph is written down as it is. Its operators are read by onnxruntime since 1.14.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 18, 8
"""Of ONNX 1.13 (2022), the first in which all reductions take their axes as an input."""

FLOAT, DOUBLE, HALF, BOOL, INT64 = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.BOOL,
    TensorProto.INT64,
)
TO_THE_END = np.iinfo(np.int64).max
"""The end of a slice that has none."""


class Graph:
    """Nodes and constants of one graph; its methods return names of tensors.

    Args:
        prefix: of these names, for a graph inside another.
    """

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant of any shape."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = f"{self._prefix}constant_{len(self._names)}"
            self.constants.append(numpy_helper.from_array(array, self._names[key]))
        return self._names[key]

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node of one output."""
        return self.several(operator, *inputs, outputs=1, **attributes)[0]

    def several(
        self, operator: str, *inputs: str, outputs: int, **attributes: Any
    ) -> tuple[str, ...]:
        """A node of several outputs."""
        number = len(self.nodes)
        own = f"{self._prefix}{operator.lower()}_{number}"
        names = tuple(f"{own}_{at}" for at in range(outputs))
        node = helper.make_node(operator, list(inputs), list(names), name=own, **attributes)
        self.nodes.append(node)
        return names

    def cast(self, tensor: str, to: int) -> str:
        """The tensor as another type."""
        return self.add("Cast", tensor, to=to)

    def binary(self, operator: str, tensor: str, value: Any, dtype: Any = np.float32) -> str:
        """An operation of a tensor and a constant."""
        return self.add(operator, tensor, self.constant(value, dtype))

    def reduce(self, operator: str, tensor: str, axis: int, *, keep: bool = False) -> str:
        """`ReduceSum` or the like over one axis."""
        return self.add(operator, tensor, self.ints(axis), keepdims=int(keep))

    def ints(self, *values: int) -> str:
        """A constant (n,) int64, as axes and shapes are given."""
        return self.constant(values, np.int64)

    def slice(self, tensor: str, axis: int, start: int, stop: int = TO_THE_END) -> str:
        """Part of a tensor along one axis, as in NumPy."""
        return self.add("Slice", tensor, self.ints(start), self.ints(stop), self.ints(axis))

    def named(self, tensor: str, name: str) -> str:
        """The tensor under a name of its own, as an output has one."""
        self.nodes.append(
            helper.make_node("Identity", [tensor], [name], name=f"{self._prefix}{name}")
        )
        return name

    def model(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        *,
        name: str,
        version: str,
        description: str,
        metadata: dict[str, str],
    ) -> bytes:
        """The whole as a file's bytes; the same graph gives the same bytes.

        Raises:
            onnx.checker.ValidationError: it is no valid graph, which is a bug of unmask.
        """
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="unmask",
            producer_version=version,
            doc_string=description,
        )
        helper.set_model_props(model, dict(sorted(metadata.items())))
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def tensor(name: str, dtype: int, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """An input or output; a dimension that varies has a name."""
    return helper.make_tensor_value_info(name, dtype, list(shape))


def constant_array(value: NDArray[Any], name: str) -> onnx.TensorProto:
    """A constant of a graph inside another."""
    return numpy_helper.from_array(np.ascontiguousarray(value), name)
