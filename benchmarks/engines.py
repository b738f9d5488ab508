"""What runs the networks of a model fastest: g_a, g_s and the gradient through g_s, by one engine after the other.

    python benchmarks/engines.py [--picture P.png] [--model gllmm-lite-eye] [--quality 50] [--threads 1 2] [--rounds 3]

Every engine works in processes of its own, in turn with the others; of seconds the least counts. What is not installed
is left out and named: `pip install openvino ncnn pnnx onnx`. trimix itself needs none of them.
"""

import argparse
import importlib.metadata
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from measuring import benchmark_picture, run
from trimix.codec import Codec
from trimix.frozen import onnx_engine, onnx_graph, onnx_operations
from trimix.frozen.catalogue import DEFAULT_MODEL
from trimix.frozen.engine import interpolated_factors, network_for, quality_on_plane
from trimix.frozen.model import quality_to_integer
from trimix.frozen.onnx_graph import Graph
from trimix.frozen.program import Convolution, Shape, TransposedConvolution, value_shapes
from trimix.frozen.transforms import FrozenTransforms
from trimix.images import PEAK, Picture, psnr_of_error_db, to_pixels, to_planes
from trimix.latent_codec import LatentCodec, Latents
from trimix.shapes import LATENT_STRIDE
from trimix.threads import thread_count

_RUNS = 5
_PRODUCT_SIDE = 1536
_NAMES = {"g_a": "analysis", "g_s": "synthesis"}

Prepare = Callable[[FrozenTransforms, Picture, float], None]
"""Lets an engine run the networks of the transforms, for pictures of that size at that quality."""


class ElsewhereSession:
    """What stands for a session of ONNX Runtime: one of our graphs, run by another engine.

    Args:
        run: values of the inputs by name -> results in the order of the graph.
    """

    def __init__(self, run: Callable[[dict[str, np.ndarray]], Sequence[np.ndarray]], inputs: Sequence[str]) -> None:
        self._run = run
        self._inputs = [argparse.Namespace(name=name) for name in inputs]

    def get_inputs(self) -> list[Any]:
        return self._inputs

    def get_outputs(self) -> list[Any]:
        return [argparse.Namespace(name="the first")]

    def run(self, names: Sequence[str], values: dict[str, np.ndarray]) -> Sequence[np.ndarray]:
        return self._run(values)

    def run_with_ort_values(self, names: None, values: dict[str, Any]) -> list[Any]:
        found = self._run({name: value.numpy() for name, value in values.items()})
        return [onnx_engine.onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(one)) for one in found]


def _plain_convolution(
    graph: Graph, x: str, weight: np.ndarray, bias: np.ndarray | None, stride: int, padding: int
) -> str:
    """One operator whatever the stride: of the space to depth in ours ncnn's converter loses the order of channels."""
    given = [graph.constant(one) for one in (weight, bias) if one is not None]
    kernel = weight.shape[2]
    return graph.node("Conv", [x, *given], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[padding] * 4)


def _to_depth(graph: Graph, x: str, factor: int, results: int) -> str:
    """Without a gather of channels before a convolution, which OpenVINO 2026.4 computes wrongly."""
    if factor == 1:
        return x
    y = graph.node("Transpose", [graph.node("SpaceToDepth", [x], blocksize=factor)], perm=[0, 2, 3, 1])
    y = graph.node("Reshape", [y, graph.integers([0, 0, 0, factor**2, results // factor**2])])
    y = graph.node("Transpose", [y], perm=[0, 1, 2, 4, 3])
    y = graph.node("Reshape", [y, graph.integers([0, 0, 0, results])])
    return graph.node("Transpose", [y], perm=[0, 3, 1, 2])


def onnx_runtime_in_8_bits(transforms: FrozenTransforms, picture: Picture, quality: float) -> None:
    """Weights and activations of convolutions in 8 bits, by ONNX Runtime's own tool."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain = onnx_engine._session

    def session(graph: Graph) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "quantized.onnx"
            model = onnx.load_from_string(graph.to_bytes())
            # Unsigned weights: ONNX Runtime has no convolution of signed ones that are not known beforehand.
            quantize_dynamic(model, path, op_types_to_quantize=["Conv"], weight_type=QuantType.QUInt8)
            contents = path.read_bytes()
        return plain(argparse.Namespace(to_bytes=lambda: contents))

    onnx_engine._session = session


def openvino_in(precision: str) -> Prepare:
    """Our graphs, forward and backward."""

    def prepare(transforms: FrozenTransforms, picture: Picture, quality: float) -> None:
        import openvino

        onnx_operations._to_depth = _to_depth
        core = openvino.Core()
        settings = {"INFERENCE_NUM_THREADS": thread_count(), "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 1}

        def session(graph: Graph) -> ElsewhereSession:
            compiled = core.compile_model(core.read_model(graph.to_bytes()), "CPU", settings)
            request, names = compiled.create_infer_request(), [one.any_name for one in compiled.inputs]

            def run(values: dict[str, np.ndarray]) -> list[np.ndarray]:
                request.infer({name: values[name] for name in names}, share_inputs=True)
                return [request.get_tensor(one).data for one in compiled.outputs]

            return ElsewhereSession(run, names)

        onnx_engine._session = session

    return prepare


def torch_in(kind: str) -> Prepare:
    """The engine for GPUs on a CPU, or with its convolutions in bf16."""

    def prepare(transforms: FrozenTransforms, picture: Picture, quality: float) -> None:
        import torch

        torch.set_num_threads(thread_count())
        for name, channels in (("analysis", 3), ("synthesis", transforms.facts.latent_channels)):
            arrays: Any = network_for("torch", transforms.programs[name], transforms.tensors, channels)
            if kind == "bf16":
                arrays._network = _with_autocast(arrays._network)
            transforms._networks[name] = arrays

    return prepare


def _with_autocast(network: Any) -> Callable[..., Any]:
    """As the network runs its operations, but for that it allows no autocast."""
    import torch

    def call(x: Any, quality: Any) -> Any:
        values = {0: x}
        with torch.autocast("cpu", torch.bfloat16):
            for index, (taken, run) in enumerate(zip(network._inputs, network._run, strict=True)):
                values[index + 1] = run(quality, *(values[number] for number in taken))
                for number in {number for number in taken if network._last[number] == index}:
                    del values[number]
        return values[len(network._run)].float()

    return call


def ncnn_in(bits: int) -> Prepare:
    """ncnn, in single precision or in bf16. It has no gradients."""

    def prepare(transforms: FrozenTransforms, picture: Picture, quality: float) -> None:
        sizes = (picture.height, picture.width), (picture.height // LATENT_STRIDE, picture.width // LATENT_STRIDE)
        onnx_operations._convolved = _plain_convolution
        for name, size in zip(_NAMES.values(), sizes, strict=True):
            plain: Any = transforms._network(name)
            transforms._networks[name] = NcnnNetwork(plain, size, quality, bits)

    return prepare


class NcnnNetwork:
    """A network whose graph went through ncnn's converter: with known sizes, and constants for all but the picture.

    Mended is an operator that the converter leaves out: channels of one constant that are added.
    """

    def __init__(self, network: onnx_engine.OnnxNetwork, size: tuple[int, int], quality: float, bits: int) -> None:
        import ncnn

        of_quality = {name: interpolated_factors(of, quality) for name, of in network._factors.items()}
        values = {name: factors[None, :, None, None] for name, factors in of_quality.items()}
        values["quality"] = np.array(quality_on_plane(quality), np.float32)

        class Fixed(Graph):
            def input(self, name: str, sizes: Sequence[int | str], *, is_bool: bool = False) -> str:
                if name == "x":
                    return super().input(name, (*sizes[:2], *size))
                self.tensors[name.encode()] = name, onnx_graph._tensor(name, values[name])
                return name

        plain, onnx_engine.Graph = onnx_engine.Graph, Fixed
        forward = network._written()
        onnx_engine.Graph = plain
        forward.graph.output(forward.result)
        self._net, self._ncnn = ncnn.Net(), ncnn
        for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_packed", "bf16_storage"):
            setattr(self._net.opt, f"use_{option}", bits == 16 and option.startswith("bf16"))
        self._net.opt.num_threads = thread_count()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "g.onnx")
            path.write_bytes(forward.graph.to_bytes())
            converter = [str(Path(sys.executable).with_name("pnnx")), path.name, "fp16=0"]
            said = subprocess.run(converter, cwd=folder, capture_output=True, text=True, check=True)
            described = path.with_suffix(".ncnn.param")
            described.write_text(_mended(described.read_text(), said.stdout + said.stderr))
            self._net.load_param(str(described))
            self._net.load_model(str(path.with_suffix(".ncnn.bin")))

    def __call__(self, x: np.ndarray, quality: float | None = None) -> np.ndarray:
        with self._net.create_extractor() as extractor:
            extractor.input("in0", self._ncnn.Mat(np.ascontiguousarray(x, np.float32)).clone())
            return np.array(extractor.extract("out0")[1])


def _mended(text: str, said: str) -> str:
    channels, value = re.search(r"pads=\(0,0,0,0,0,(\d+),0,0\)", said), re.search(r"param value=(\S+)", said)
    padding = f" 8={channels[1] if channels else 0} 5={value[1] if value else 0}"
    return re.sub(r"^Pad  (.*)$", rf"Padding \1{padding}", text, flags=re.MULTILINE)


@dataclass(frozen=True)
class Engine:
    """What is compared.

    Args:
        packages: that it needs, the one whose import is timed first.
    """

    name: str
    packages: tuple[str, ...]
    prepare: Prepare
    has_gradient: bool = True


ENGINES = (
    Engine("ONNX Runtime", ("onnxruntime",), lambda *_: None),
    Engine("ONNX Runtime, 8 bits", ("onnxruntime", "onnx"), onnx_runtime_in_8_bits),
    Engine("torch", ("torch",), torch_in("fp32")),
    Engine("torch, bf16", ("torch",), torch_in("bf16")),
    Engine("OpenVINO", ("openvino",), openvino_in("f32")),
    Engine("OpenVINO, bf16", ("openvino",), openvino_in("bf16")),
    Engine("ncnn", ("ncnn", "pnnx"), ncnn_in(32), has_gradient=False),
    Engine("ncnn, bf16", ("ncnn", "pnnx"), ncnn_in(16), has_gradient=False),
)


def work(engine: Engine, model: str, picture: Picture, quality: float, task: Path, found: Path) -> dict[str, float]:
    """In a process of its own: run the three with what a file gives, keep the results, and say what it took."""
    given = dict(np.load(task))
    transforms = Codec.load(model).model.transforms
    engine.prepare(transforms, picture, quality)

    def gradient() -> np.ndarray:
        return transforms.decode_with_adjoint(given["y_hat"], quality)[1](given["slope"])

    actions: dict[str, Callable[[], np.ndarray]] = {
        "g_a": lambda: transforms.encode_latent(given["x"], quality),
        "g_s": lambda: transforms.decode(given["y_hat"], quality),
    }
    if engine.has_gradient:
        actions["gradient"] = gradient
    results, took = {}, {}
    for name, action in actions.items():
        seconds, cpu_seconds = [], []
        for _ in range(_RUNS):
            began, cpu_began = time.perf_counter(), time.process_time()
            results[name] = action()
            seconds.append(time.perf_counter() - began)
            cpu_seconds.append(time.process_time() - cpu_began)
        took |= {f"{name}, s": min(seconds), f"{name}, CPU s": min(cpu_seconds)}
        took[f"{name}, first CPU s"] = cpu_seconds[0] - min(cpu_seconds)
    np.savez(found, **results)
    return took | {"peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def products_per_second() -> float:
    """Multiplications with additions of NumPy's products of matrices, in single precision, on one thread."""
    a = np.ones((_PRODUCT_SIDE, _PRODUCT_SIDE), np.float32)
    seconds = []
    for _ in range(_RUNS):
        began = time.process_time()
        a @ a
        seconds.append(time.process_time() - began)
    return _PRODUCT_SIDE**3 / min(seconds)


def multiplications(transforms: FrozenTransforms, name: str, size: Shape) -> float:
    """Multiplications with additions of a network's convolutions."""
    program, shapes, total = transforms.programs[name], transforms.tensors.shapes, 0.0
    for one, result in zip(program, value_shapes(program, size, shapes)[1:], strict=True):
        if isinstance(one, Convolution | TransposedConvolution):
            inputs, outputs, rows, columns = shapes[one.weight]
            spread = one.stride**2 if isinstance(one, TransposedConvolution) else 1
            total += inputs * outputs * rows * columns * result.height * result.width / spread
    return total


def _in_process(threads: int, *arguments: str) -> dict[str, float]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    output = subprocess.run(
        [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return json.loads(output.splitlines()[-1])


def import_cpu_seconds(module: str) -> float:
    """Of a module, beside NumPy."""
    code = "import json, numpy, time; began = time.process_time(); import {}; "
    code += "print(json.dumps(time.process_time() - began))"
    return min(float(str(_in_process(1, "-c", code.format(module)))) for _ in range(_RUNS))


def installed_megabytes(package: str) -> float:
    """Of the files of a package, without those that it needs."""
    paths = [Path(str(one.locate())) for one in importlib.metadata.files(package) or []]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


@dataclass(frozen=True)
class Reference:
    """What ONNX Runtime gives, and the picture that it is of."""

    codec: LatentCodec
    picture: Picture
    quality: float
    results: dict[str, np.ndarray]

    def compared(self, found: Path) -> list[str]:
        """Latents, symbols, pixels and slopes of another engine beside these."""
        results = dict(np.load(found))
        own, other = self._coded(self.results["g_a"]), self._coded(results["g_a"])
        pixels, others = (to_pixels(one["g_s"]).astype(int) for one in (self.results, results))
        apart = np.abs(others - pixels)
        texts = [
            f"{np.abs(results['g_a'] - self.results['g_a']).max():.1g}",
            f"{100 * (own[0] != other[0]).mean():.2g} %",
            f"{100 * (other[1] / own[1] - 1):+.2f} %",
            f"{other[2] - own[2]:+.3f} dB",
            f"{apart.max()}",
            f"{100 * (apart == 1).mean():.2g} %",
            f"{100 * (apart > 1).mean():.2g} %",
        ]
        if "gradient" not in results:
            return [*texts, "–"]
        slope = self.results["gradient"]
        return [*texts, f"{np.linalg.norm(results['gradient'] - slope) / np.linalg.norm(slope):.1g}"]

    def _coded(self, y: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Symbols of latents, their bits, and the PSNR of the picture that ONNX Runtime makes of them."""
        model, quality_integer = self.codec.model, quality_to_integer(self.quality)
        z_hat = model.hyper_symbols(model.transforms.hyper_analysis(y))
        side = model.side_features(z_hat, quality_integer)
        symbols = self.codec.round(Latents(np.ascontiguousarray(y.transpose(1, 2, 0)), z_hat, side, quality_integer))
        size = self.picture.height, self.picture.width
        error = self.codec.synthesize(symbols, *size).astype(np.float64) - self.picture.pixels
        return symbols.latent, self.codec.count(symbols).total, psnr_of_error_db(float(np.square(error).mean()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, help="sides are multiples of 64 (default: a photograph, 768 x 512)")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or weights file (default: %(default)s)")
    parser.add_argument("--quality", type=float, default=50.0, help="1 .. 100 (default: %(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3, help="processes of every engine (default: %(default)s)")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    picture, quality, console = benchmark_picture(options.picture), options.quality, Console()
    if options.work:
        name, task, found = options.work
        engine = next(one for one in ENGINES if one.name == name)
        print(json.dumps(work(engine, options.model, picture, quality, Path(task), Path(found))))
        return 0
    present = [engine for engine in ENGINES if all(map(find_spec, engine.packages))]
    for engine in ENGINES:
        if engine not in present:
            console.print(f"{engine.name}: left out, for it needs {' and '.join(engine.packages)}")
    codec = Codec.load(options.model).latents
    transforms = codec.model.transforms
    x = to_planes(picture.pixels)
    y = transforms.encode_latent(x, quality)
    y_hat = np.rint(y)
    x_hat, adjoint = transforms.decode_with_adjoint(y_hat, quality)
    slope = np.float32(2 * PEAK**2) * (x_hat - x)
    reference = Reference(codec, picture, quality, {"g_a": y, "g_s": x_hat, "gradient": adjoint(slope)})
    with tempfile.TemporaryDirectory() as folder:
        task = Path(folder, "task.npz")
        np.savez(task, x=x, y_hat=y_hat, slope=slope)
        own = [str(Path(__file__)), *("--picture", str(options.picture))[: 2 * (options.picture is not None)]]
        own += ["--model", options.model, "--quality", f"{quality:g}", "--work"]
        for threads in options.threads:
            least: dict[str, dict[str, float]] = {engine.name: {} for engine in present}
            for _ in range(options.rounds):
                for engine in present:
                    path = Path(folder, f"{ENGINES.index(engine)}.npz")
                    took = _in_process(threads, *own, engine.name, str(task), str(path))
                    found = least[engine.name]
                    found |= {name: min(value, found.get(name, value)) for name, value in took.items()}
            console.print(_speeds(least, threads))
        table = Table("engine", "latents apart", "symbols apart", "bits", "PSNR", "pixels apart, most")
        for heading in ("by 1", "by more", "gradient apart"):
            table.add_column(heading)
        for engine in present:
            table.add_row(engine.name, *reference.compared(Path(folder, f"{ENGINES.index(engine)}.npz")))
        console.print(table)
    table = Table("package", "import, CPU s", "installed MB")
    for package in dict.fromkeys(engine.packages[0] for engine in present):
        table.add_row(package, f"{import_cpu_seconds(package):.2f}", f"{installed_megabytes(package):.0f}")
    console.print(table)
    sizes = Shape(*x.shape), Shape(*y.shape)
    counts = [multiplications(transforms, name, size) for name, size in zip(_NAMES.values(), sizes, strict=True)]
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import engines; "
    rate = float(str(_in_process(1, "-c", code + "print(engines.products_per_second())")))
    console.print(
        f"Products of matrices in single precision on one thread: {rate / 1e9:.0f} G multiplications a second. "
        f"g_a has {counts[0] / 1e9:.1f} G and g_s {counts[1] / 1e9:.1f} G: at that rate {counts[0] / rate:.3f} and "
        f"{counts[1] / rate:.3f} s."
    )
    return 0


def _speeds(least: dict[str, dict[str, float]], threads: int) -> Table:
    """By engine: of every network seconds, CPU seconds, and the ratio of these to ONNX Runtime's."""
    table = Table("engine", title=f"{threads} thread{'s' if threads > 1 else ''}", title_justify="left")
    for name in (*_NAMES, "gradient"):
        for heading in (f"{name}, s", "CPU s", "ratio"):
            table.add_column(heading, justify="right")
    table.add_column("first runs, more CPU s", justify="right")
    table.add_column("peak MB", justify="right")
    anchor = least[ENGINES[0].name]
    for engine, took in least.items():
        row = [engine]
        for name in (*_NAMES, "gradient"):
            if f"{name}, s" not in took:
                row += ["–"] * 3
                continue
            seconds = took[f"{name}, s"]
            cpu_seconds = took[f"{name}, CPU s"]
            row += [f"{seconds:.3f}", f"{cpu_seconds:.3f}", f"{cpu_seconds / anchor[f'{name}, CPU s']:.2f}"]
        first = sum(value for name, value in took.items() if name.endswith("first CPU s"))
        table.add_row(*row, f"{first:.2f}", f"{took['peak MB']:.0f}")
    return table


if __name__ == "__main__":
    run(main)
