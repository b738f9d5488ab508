"""A whole program as a graph of ONNX: what the engine runs, and what other programs are given.

::

    x [1 C H W], factors [1 C 1 1] of every quality_factors, quality --> operations in order --> result
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trimix.frozen.onnx_graph import Graph
from trimix.frozen.onnx_operations import Given, Written, written
from trimix.frozen.program import Program, QualityFactors, QualityPlane, Shape, inputs_of, value_shapes

QUALITY = "quality"
"""Input with the quality as a plane has it."""
_FACTORS = "factors"
_SIDE = 64
"""Of an example from which channels are known; all sides are multiples of it, or fractions."""


@dataclass
class ProgramGraph:
    """A program in a graph.

    Args:
        graph: of its operations.
        result: name of the last value.
        operations: as they are written, and the numbers of the values that they take.
    """

    graph: Graph
    result: str
    operations: list[tuple[Written, tuple[int, ...]]]

    @property
    def kept(self) -> list[str]:
        """Values that adjoints look at and that the run makes."""
        made = {name for one, _ in self.operations for name in one.needed}
        return sorted(name for name in made if not _is_given(name))

    @property
    def signs(self) -> list[str]:
        """Values of which adjoints see the sign only: a byte is kept of each number."""
        return sorted({name for one, _ in self.operations for name in one.signs})


def factor_inputs(program: Program) -> dict[str, str]:
    """Inputs with the factors of an operation, by name, and the tensors with their logarithms."""
    return {
        f"{_FACTORS}{index}": one.logarithms for index, one in enumerate(program) if isinstance(one, QualityFactors)
    }


def sees_quality(program: Program) -> bool:
    """Whether there is the input with the quality."""
    return any(isinstance(one, QualityPlane) for one in program)


def written_program(graph: Graph, program: Program, tensors: Mapping[str, np.ndarray], channels: int) -> ProgramGraph:
    """Write a program, which is checked already, into a graph.

    Args:
        tensors: in single precision, by name.
        channels: of the input.
    """
    taken = {name: tensors[name] for one in program for name in one.tensors}
    names = [graph.input("x", (1, channels, "height", "width"))]
    for name, logarithms in factor_inputs(program).items():
        graph.input(name, (1, taken[logarithms].shape[1], 1, 1))
    if sees_quality(program):
        graph.input(QUALITY, ())
    shapes = {name: value.shape for name, value in taken.items()}
    known = value_shapes(program, Shape(channels, _SIDE, _SIDE), shapes)
    operations: list[tuple[Written, tuple[int, ...]]] = []
    for index, (one, inputs) in enumerate(zip(program, inputs_of(program), strict=True)):
        given = [known[number] for number in inputs]
        at = Given(graph, [names[number] for number in inputs], given, taken, f"{_FACTORS}{index}", QUALITY)
        operations.append((written(one, at), inputs))
        names.append(operations[-1][0].result)
    return ProgramGraph(graph, names[-1], operations)


def _is_given(name: str) -> bool:
    return name == "x" or name.startswith(_FACTORS)
