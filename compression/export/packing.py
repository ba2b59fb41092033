"""Weights in the fewest bytes that lose nothing: centroid tables and packed indices, half precision, or plain float32.

The indices of all tensors are one stream of bits in one constant, those of equal width together. Standard operators take it
apart: a byte shifted by 7 to 0 modulo 2 gives its bits, a product with powers of two makes indices of every b of them, and
tables are gathered by these. All inputs are constants, so ONNX Runtime computes it once, when the session is made, and
what runs is the graph with plain weights. Every operator is as old as opset 13 and in every build of ONNX Runtime.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from compression.export.graph import Graph

WIDEST = 8
TABLE_NODES = 75  # what a table and its indices cost in nodes and sizes, in bytes, about
JOIN_NODES = 60  # what it costs to put two weights together again
Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Codebook:
    """A tensor as a table and indices, without loss.

    Attributes:
        table: ``[values]`` in rising order.
        indices: Of the tensor's shape.
    """

    table: Array
    indices: npt.NDArray[np.int64]

    @property
    def bits(self) -> int:
        """Of one index."""
        return max(1, (len(self.table) - 1).bit_length())


@dataclasses.dataclass(frozen=True)
class ByteAccount:
    """Where the bytes of an ONNX file are.

    Attributes:
        indices: Packed indices.
        tables: Centroids.
        floats: Weights, biases and other numbers that are stored as they are.
        graph: All else: nodes, names, shapes, metadata.
    """

    indices: int
    tables: int
    floats: int
    graph: int

    @property
    def total(self) -> int:
        """The size of the file."""
        return self.indices + self.tables + self.floats + self.graph


def codebook(array: Array) -> Codebook | None:
    """Table and indices of an array of at most 256 distinct values, else None."""
    table, indices = np.unique(array, return_inverse=True)
    return Codebook(table, indices.reshape(array.shape)) if len(table) <= 1 << WIDEST else None


def fits_half(array: Array) -> bool:
    """Whether float16 holds every value exactly."""
    with np.errstate(over="ignore"):
        return bool((array.astype(np.float16).astype(np.float32) == array).all())


def codebook_bytes(size: int, values: int, half: bool = True) -> int:
    """About what a tensor of that size costs as a table of that many values and indices."""
    bits = max(1, (values - 1).bit_length())
    return size * bits // 8 + (2 if half else 4) * values + TABLE_NODES


def least_bytes(array: Array) -> tuple[int, Codebook | None, bool]:
    """About what an array costs, its codebook where that is cheaper than plain numbers, and whether float16 is exact."""
    book, half = codebook(array), fits_half(array)
    plain = (2 if half else 4) * array.size
    if book and (shared := codebook_bytes(array.size, len(book.table), half)) < plain:
        return shared, book, half
    return plain, None, half


def pack_bits(indices: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.uint8]:
    """The bits of each index, highest first: ``[len(indices) * bits]`` zeros and ones."""
    return (indices[:, None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).ravel()


def byte_account(content: bytes) -> ByteAccount:
    """The account of any variant's file."""
    graph = onnx.load_model_from_string(content).graph
    constants = {constant.name: constant for constant in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    indices = sum(len(constants[node.input[0]].raw_data) for node in graph.node if node.op_type == "BitShift")
    tables = 0
    for gather in (node for node in graph.node if node.op_type == "Gather"):
        split = makers[gather.input[0]]
        sizes = onnx.numpy_helper.to_array(constants[split.input[1]])
        tables += int(sizes[list(split.output).index(gather.input[0])]) * (4 if split.input[0] in constants else 2)
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    floats = sum(len(constant.raw_data) for constant in constants.values() if constant.data_type in kinds) - tables
    return ByteAccount(indices, tables, floats, len(content) - indices - tables - floats)


class PackedGraph(Graph):
    """A graph that packs its weights. ``model`` completes it and is called once."""

    def __init__(self) -> None:
        super().__init__()
        self._codebooks: dict[str, Codebook] = {}
        self._halves: dict[str, Array] = {}
        self._weights: dict[tuple[tuple[int, ...], bytes], str] = {}

    @property
    def codebook_bits(self) -> int:
        return max((book.bits for book in self._codebooks.values()), default=0)

    def weight(self, value: npt.ArrayLike) -> str:
        """A trained weight or bias, stored in the fewest bytes; equal ones are stored once."""
        array = np.array(value, dtype=np.float32, order="C")
        key = array.shape, array.tobytes()
        if key not in self._weights:
            _, book, half = least_bytes(array)
            self._weights[key] = self._name() if book or half else self.constant(array)
            if book:
                self._codebooks[self._weights[key]] = book
            elif half:
                self._halves[self._weights[key]] = array
        return self._weights[key]

    def joined_weights(self, *values: Array) -> str:
        """As one weight or, where each has few values of its own, as several that the graph puts together."""
        apart = sum(least_bytes(value)[0] for value in values) + JOIN_NODES
        if least_bytes(np.concatenate(values))[0] <= apart:
            return super().joined_weights(*values)
        row = self.add("Concat", *(self.weight(value) for value in values), axis=0)
        return self.add("Unsqueeze", row, self.integers(0))

    def model(self, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]], metadata: dict[str, str]) -> onnx.ModelProto:
        network, self.nodes = self.nodes, []
        self._unpack()
        self.nodes += network
        return super().model(inputs, outputs, metadata)

    def _unpack(self) -> None:
        """Nodes that make all weights of what is stored."""
        exact = {name: fits_half(book.table) for name, book in self._codebooks.items()}
        halves = {name: book.table for name, book in self._codebooks.items() if exact[name]} | self._halves
        tables = self._numbers(halves, np.float16)
        tables |= self._numbers({name: book.table for name, book in self._codebooks.items() if not exact[name]}, np.float32)
        for name, array in self._halves.items():
            self._shaped(tables[name], array.shape, name)
        for name, indices in self._indices().items():
            shape = self._codebooks[name].indices.shape
            if len(shape) == 1:
                self.add("Gather", tables[name], indices, name=name)
            else:
                self._shaped(self.add("Gather", tables[name], indices), shape, name)

    def _numbers(self, arrays: dict[str, Array], dtype: npt.DTypeLike) -> dict[str, str]:
        """One constant with all arrays, cast to float32 and split into one flat value each.

        Those of one dimension that are no tables are the weights themselves and get their names.
        """
        if not arrays:
            return {}
        joined = self.constant(np.concatenate([array.ravel() for array in arrays.values()]), dtype)
        if dtype == np.float16:
            joined = self.add("Cast", joined, to=onnx.TensorProto.FLOAT)
        flat = {name for name, array in self._halves.items() if array.ndim == 1}
        names = [name if name in flat else self._name() for name in arrays]
        self._split(joined, [array.size for array in arrays.values()], names)
        return dict(zip(arrays, names, strict=True))

    def _split(self, x: str, sizes: list[int], names: list[str]) -> None:
        self.add_many("Split", x, self.integers(*sizes), names=names)

    def _shaped(self, flat: str, shape: tuple[int, ...], name: str) -> None:
        """Reshape, with -1 for the first long dimension so that fewer shapes have to be stored."""
        if len(shape) == 1:
            return
        long = next((axis for axis, size in enumerate(shape) if size > 1), 0)
        self.add("Reshape", flat, self.integers(*shape[:long], -1, *shape[long + 1 :]), name=name)

    def _indices(self) -> dict[str, str]:
        """The stream of bits, and what makes each tensor's flat indices of it."""
        groups = [
            (bits, books)
            for bits in range(1, WIDEST + 1)
            if (books := {name: book.indices.ravel() for name, book in self._codebooks.items() if book.bits == bits})
        ]
        if not groups:
            return {}
        streams = [pack_bits(np.concatenate(list(books.values())), bits) for bits, books in groups]
        packed = np.packbits(np.concatenate(streams))[:, None]
        shifted = self.add(
            "BitShift", self.constant(packed, np.uint8), self.constant(np.arange(8)[::-1], np.uint8), direction="RIGHT"
        )
        stream = self.reshape(self.add("Mod", shifted, self.constant(2, np.uint8)), -1)
        sizes = [len(bits) for bits in streams]
        padding = -sum(sizes) % 8
        parts = [self._name() for _ in range(len(groups) + bool(padding))]
        self._split(stream, sizes + [padding] * bool(padding), parts)
        found: dict[str, str] = {}
        for (bits, books), part in zip(groups, parts, strict=False):
            powers = self.constant(1 << np.arange(bits)[::-1], np.uint8)
            indices = self.add("MatMulInteger", self.reshape(part, -1, bits), powers)
            names = {name: self._name() for name in books}
            self._split(indices, [values.size for values in books.values()], list(names.values()))
            found |= names
        return found
