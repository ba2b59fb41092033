"""A small writer of ONNX graphs: short names, constants made once, bytes counted.

The networks are written node by node rather than traced, because the graph itself is part of a variant's size and
because a traced GRU may be wrong without a word (pytorch issue 189225).
"""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

OPSET = 17
IR_VERSION = 8
_DIGITS = string.ascii_lowercase + string.ascii_uppercase


class Graph:
    """Collects nodes and constants; every method that makes a value returns its name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._count = 0

    def _name(self) -> str:
        number, name = self._count, ""
        self._count += 1
        while True:
            number, digit = divmod(number, len(_DIGITS))
            name = _DIGITS[digit] + name
            if not number:
                return name
            number -= 1

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """An initializer; equal ones are stored once."""
        array = np.array(value, dtype=dtype, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._name()
            self.constants.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def weight(self, value: npt.ArrayLike) -> str:
        """A trained weight or bias, in the layout in which the graph uses it; here a constant in float32."""
        return self.constant(value)

    def joined_weights(self, *values: npt.NDArray[np.float32]) -> str:
        """Several one-dimensional weights, one after the other, as one row ``[1, sizes]``."""
        return self.weight(np.concatenate(values)[None])

    @property
    def codebook_bits(self) -> int:
        """Most bits of an index into a centroid table; 0 where no weight is stored so."""
        return 0

    def integers(self, *values: int) -> str:
        """A one-dimensional int64 constant, for shapes, axes and slices."""
        return self.constant(values, np.int64)

    def add(self, op: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """A node with one output."""
        return self.add_many(op, *inputs, names=[name or self._name()], **attributes)[0]

    def add_many(self, op: str, *inputs: str, names: list[str] | None = None, outputs: int = 1, **attributes: Any) -> list[str]:
        """A node with several outputs; an empty name marks one that is not wanted."""
        names = names if names is not None else [self._name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names

    def scan(self, body: Callable[..., str], initial: str, *sequences: str) -> tuple[str, str]:
        """``body(carried, *elements)`` for every element along the first axis of the sequences, whose result is carried on.

        Returns:
            What was carried last, and all that was carried, stacked along a new first axis.
        """
        carried, *elements = inputs = [self._name() for _ in range(1 + len(sequences))]
        outside, self.nodes = self.nodes, []
        result = body(carried, *elements)
        outputs = [result, self.add("Identity", result)]  # one value cannot be two of a graph's outputs
        inside, self.nodes = self.nodes, outside
        into, out_of = ([onnx.ValueInfoProto(name=name) for name in names] for names in (inputs, outputs))
        loop = helper.make_graph(inside, "s", into, out_of)
        last, stacked = self.add_many("Scan", initial, *sequences, outputs=2, body=loop, num_scan_inputs=len(sequences))
        return last, stacked

    def range(self, start: float, end: float, step: float) -> str:
        """Numbers made when the graph is loaded, ``[count]``, as stored ones cost bytes."""
        return self.add("Range", *(self.constant(float(value)) for value in (start, end, step)))

    def slice(self, x: str, start: int, end: int, axis: int) -> str:
        """Elements ``start`` to ``end`` along an axis, numpy's meaning of negative numbers."""
        return self.add("Slice", x, self.integers(start), self.integers(end), self.integers(axis))

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps a dimension, -1 is what is left."""
        return self.add("Reshape", x, self.integers(*shape))

    def newest(self, x: str) -> str:
        """The last element along the second axis, as a row of a state: ``[batch, values]``."""
        return self.reshape(self.slice(x, -1, 2**31, 1), 0, -1)

    def affine(self, x: str, weight: npt.ArrayLike, bias: npt.ArrayLike) -> str:
        """``x @ weight + bias`` of a matrix ``x``; ``weight`` is ``[inputs, outputs]``."""
        return self.add("Gemm", x, self.weight(weight), self.weight(bias))

    def convolution(self, x: str, weight: npt.ArrayLike, bias: npt.ArrayLike, stride: int = 1, padding: int = 0) -> str:
        """Convolution of ``[any, channels, 1, length]`` along the length; ``weight`` is ``[outputs, inputs, 1, taps]``."""
        window: dict[str, Any] = {"kernel_shape": [1, np.shape(weight)[3]], "strides": [1, stride], "pads": [0, padding] * 2}
        return self.add("Conv", x, self.weight(weight), self.weight(bias), **window)

    def silu(self, x: str) -> str:
        """``x * sigmoid(x)``."""
        return self.add("Mul", x, self.add("Sigmoid", x))

    def model(self, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]], metadata: dict[str, str]) -> onnx.ModelProto:
        """The finished, checked model; all inputs and outputs are float32."""

        def describe(values: dict[str, list[Any]]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()]

        graph = helper.make_graph(self.nodes, "g", describe(inputs), describe(outputs), self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model


def as_array(tensor: object) -> npt.NDArray[np.float32]:
    """A parameter or buffer as float32."""
    assert isinstance(tensor, Tensor)
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float32)
