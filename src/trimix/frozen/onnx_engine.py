"""The engine that runs programs with ONNX Runtime, on a CPU.

::

    program, tensors --> graph: operations in order        --> session: value 0, quality --> result, kept values
                     `-> graph: adjoints, the last one first --> session: slope, kept values --> slope of value 0

Sessions are made when they are needed first. What a graph keeps for the way back are the values that adjoints look at.
"""

import ctypes
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from threading import Lock
from weakref import WeakSet

import numpy as np

# It is read once, when the library loads: without it ONNX Runtime's wheels send what they run to their maker and leave
# a number of the machine in the user's cache. Whoever has set it keeps the choice.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from trimix.allocator import give_back_freed_memory
from trimix.frozen.engine import interpolated_factors, quality_on_plane
from trimix.frozen.onnx_graph import Graph
from trimix.frozen.onnx_operations import above_zero, sign_of
from trimix.frozen.onnx_program import QUALITY, ProgramGraph, factor_inputs, written_program
from trimix.frozen.program import Program
from trimix.shapes import Float
from trimix.threads import thread_count

_RUNS_WORTH_A_SESSION = 3
"""A session that can keep values takes a twentieth longer for a result alone; making another takes as long as so many
of these runs cost. A command that compresses one picture makes no more."""


def _session(graph: Graph) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Memory goes back to the allocator after each run; waiting threads sleep.
    options.enable_cpu_mem_arena = False
    # One block for all values of a run would be larger than what is alive at any time, and in one piece.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph.to_bytes(), options, providers=["CPUExecutionProvider"])
    # All weights again, kept for a change of providers that nobody makes.
    vars(session).pop("_model_bytes", None)
    # The graph has held its weights several times over.
    give_back_freed_memory()
    return session


class OnnxNetwork:
    """A program with its tensors.

    Args:
        program: that is checked already.
        tensors: in single precision, by name.
        channels: of the input.
    """

    def __init__(self, program: Program, tensors: Mapping[str, np.ndarray], channels: int) -> None:
        self._program = program
        self._tensors = tensors
        self._channels = channels
        self._stood_in = 0
        self._factors = {name: tensors[one] for name, one in factor_inputs(program).items()}
        _networks.add(self)

    def __call__(self, x: Float[np.ndarray, "C H W"], quality: float | None = None) -> Float[np.ndarray, "D h w"]:
        """The result."""
        session, name = self._made("_forward")
        result = session.run([name], self._given(session, x, quality))[0]
        return np.asarray(result)[0]

    def with_adjoint(
        self, x: Float[np.ndarray, "C H W"], quality: float | None = None
    ) -> tuple[Float[np.ndarray, "D h w"], Callable[[np.ndarray], np.ndarray]]:
        """The result, and what turns a slope of the result into one of the input."""
        forward, names = self._made("_keeping")
        backward = self._made("_backward")
        of = onnxruntime.OrtValue.ortvalue_from_numpy
        given = {name: of(value) for name, value in self._given(forward, x, quality).items()}
        found = forward.run_with_ort_values(None, given)
        kept = dict(zip(names, found, strict=True)) | given
        taken = {one.name for one in backward.get_inputs()}

        def adjoint(slope: np.ndarray) -> np.ndarray:
            values = {name: value for name, value in kept.items() if name in taken}
            values["slope"] = of(np.ascontiguousarray(slope[None], np.float32))
            kept.clear()
            return backward.run_with_ort_values(None, values)[0].numpy()[0]

        return found[0].numpy()[0], adjoint

    def _made(self, name: str):
        with _MAKING:
            return getattr(self, name)

    def forget_sessions(self) -> None:
        """In a forked child: the threads of sessions stayed with the parent, and freeing one would wait for them."""
        for name in ("_plain", "_keeping", "_backward"):
            if name in self.__dict__:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.__dict__.pop(name)))

    def _given(
        self, session: onnxruntime.InferenceSession, x: np.ndarray, quality: float | None
    ) -> dict[str, np.ndarray]:
        values = {"x": np.ascontiguousarray(x[None], np.float32)}
        if quality is not None:
            values[QUALITY] = np.array(quality_on_plane(quality), np.float32)
            for name, logarithms in self._factors.items():
                values[name] = interpolated_factors(logarithms, quality).reshape(1, -1, 1, 1)
        return {one.name: values[one.name] for one in session.get_inputs()}

    def _written(self) -> ProgramGraph:
        return written_program(Graph(), self._program, self._tensors, self._channels)

    @property
    def _forward(self) -> tuple[onnxruntime.InferenceSession, str]:
        """A session that gives the result, and its name there; one that can keep values stands in for some runs."""
        if "_plain" not in self.__dict__ and "_keeping" in self.__dict__ and self._stood_in < _RUNS_WORTH_A_SESSION:
            self._stood_in += 1
            session, names = self._keeping
            return session, names[0]
        return self._plain, self._plain.get_outputs()[0].name

    @cached_property
    def _plain(self) -> onnxruntime.InferenceSession:
        forward = self._written()
        forward.graph.output(forward.result)
        return _session(forward.graph)

    @cached_property
    def _keeping(self) -> tuple[onnxruntime.InferenceSession, list[str]]:
        forward = self._written()
        made = {forward.result: forward.result} | {name: name for name in forward.kept}
        made |= {sign_of(name): above_zero(forward.graph, name) for name in forward.signs}
        for name in made.values():
            forward.graph.output(name)
        return _session(forward.graph), list(made)

    @cached_property
    def _backward(self) -> onnxruntime.InferenceSession:
        forward = self._written()
        graph = Graph(first=len(forward.graph.nodes))
        slopes: dict[int, str] = {len(forward.operations): graph.input("slope", (1, "d", "h", "w"))}
        for name in {name for one, _ in forward.operations for name in one.needed}:
            graph.input(name, (1, *(f"{name}_{axis}" for axis in "chw")))
        for name in forward.signs:
            graph.input(sign_of(name), (1, *(f"{name}_{axis}" for axis in "chw")), is_bool=True)
        for index in range(len(forward.operations), 0, -1):
            one, taken = forward.operations[index - 1]
            if index not in slopes:
                continue  # a value that nobody takes
            found = one.adjoint(graph, slopes.pop(index))
            for number, slope in zip(taken, found, strict=True):
                before = slopes.get(number)
                slopes[number] = slope if before is None else graph.node("Add", [before, slope])
        graph.output(slopes[0])
        return _session(graph)


_MAKING = Lock()
_networks: WeakSet[OnnxNetwork] = WeakSet()


def _in_child() -> None:
    for network in _networks:
        network.forget_sessions()
    _MAKING.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_MAKING.acquire, after_in_parent=_MAKING.release, after_in_child=_in_child)
