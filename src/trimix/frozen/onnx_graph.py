"""ONNX graphs as bytes: the few messages of onnx.proto that a graph of float32 operations needs.

A message is a row of fields; a field is its number and wire type, then a varint, four bytes, or a length and as many
bytes (protobuf.dev/programming-guides/encoding). The numbers below are those of onnx/onnx.proto.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_OPERATORS_VERSION = 17
_FORMAT_VERSION = 8
_FLOAT32, _BOOL = 1, 9
_KINDS = {"float32": _FLOAT32, "int8": 3, "int64": 7, "float16": 10}
"""Number of a tensor's type."""
_OF_FLOAT, _OF_INTEGER, _OF_TEXT, _OF_INTEGERS = 1, 2, 3, 7

_SMALL_BYTES = 2**12

Attribute = int | float | str | Sequence[int]


def _varint(number: int) -> bytes:
    number &= 2**64 - 1  # negative numbers as 64 bits
    written = bytearray()
    while number >= 128:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)


def _field(number: int, value: int | float | str | bytes) -> bytes:
    """A field with its number; text and messages with their length before them.

    >>> _field(1, 300).hex(), _field(2, "é").hex()
    ('08ac02', '1202c3a9')
    """
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    contents = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(contents)) + contents


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, _OF_INTEGER)
    if isinstance(value, float):
        return _field(1, name) + _field(2, value) + _field(20, _OF_FLOAT)
    if isinstance(value, str):
        return _field(1, name) + _field(4, value) + _field(20, _OF_TEXT)
    return _field(1, name) + b"".join(_field(8, one) for one in value) + _field(20, _OF_INTEGERS)


Parts = list[bytes | memoryview]
"""Of a message: weights are large, and copied once, when all parts are joined."""


def _message(number: int, parts: Parts) -> Parts:
    return [_varint(number << 3 | 2) + _varint(sum(map(len, parts))), *parts]


def _tensor(name: str, array: np.ndarray) -> Parts:
    dimensions = b"".join(_field(1, size) for size in array.shape)
    contents = np.ascontiguousarray(array).ravel().view(np.uint8).data
    return [dimensions + _field(2, _KINDS[array.dtype.name]) + _field(8, name), *_message(9, [contents])]


def _value(name: str, sizes: Sequence[int | str], kind: int) -> bytes:
    """A value; a size that is known at run time only has a name."""
    shape = b"".join(_field(1, _field(1 if isinstance(size, int) else 2, size)) for size in sizes)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, shape)))


@dataclass
class Graph:
    """A graph in the making.

    Args:
        first: number of its first node; that of another graph, which has values of the same names, goes on there.
    """

    first: int = 0

    nodes: list[bytes] = field(default_factory=list)
    tensors: dict[bytes, tuple[str, Parts]] = field(default_factory=dict)
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)

    def node(self, operator: str, inputs: Sequence[str], **attributes: Attribute) -> str:
        """Add an operation, and return the name of its result."""
        result = f"v{self.first + len(self.nodes)}"
        self.nodes.append(
            b"".join(_field(1, name) for name in inputs)
            + _field(2, result)
            + _field(4, operator)
            + b"".join(_field(5, _attribute(*one)) for one in attributes.items())
        )
        return result

    def constant(self, array: np.ndarray) -> str:
        """A tensor of the graph, which must not change; small ones that are equal are stored once.

        Args:
            array: of a type in ``_KINDS``.
        """
        array = np.asarray(array)
        key = f"{array.dtype}{array.shape}".encode()
        key += array.tobytes() if array.nbytes <= _SMALL_BYTES else f" number {len(self.tensors)}".encode()
        if key not in self.tensors:
            name = f"c{len(self.tensors)}"
            self.tensors[key] = name, _tensor(name, array)
        return self.tensors[key][0]

    def number(self, value: float) -> str:
        """A constant of one number."""
        return self.constant(np.array(value, np.float32))

    def integers(self, values: Sequence[int]) -> str:
        """A constant of some integers."""
        return self.constant(np.array(values, np.int64))

    def input(self, name: str, sizes: Sequence[int | str], *, is_bool: bool = False) -> str:
        """A value that is given, float32 or bool."""
        self.inputs.append(_value(name, sizes, _BOOL if is_bool else _FLOAT32))
        return name

    def output(self, name: str) -> None:
        """Make a value a result."""
        self.outputs.append(_field(1, name))

    def to_bytes(self) -> bytes:
        """The model's file."""
        graph: Parts = [
            *(_field(1, node) for node in self.nodes),
            _field(2, "program"),
            *(part for _, tensor in self.tensors.values() for part in _message(5, tensor)),
            *(_field(11, one) for one in self.inputs),
            *(_field(12, one) for one in self.outputs),
        ]
        operators = _field(1, "") + _field(2, _OPERATORS_VERSION)
        return b"".join([_field(1, _FORMAT_VERSION), *_message(7, graph), _field(8, operators)])
