"""What every layer computes, in operations of a program.

A new layer has a case here; a new architecture of known layers needs nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from trimix.errors import ModelError
from trimix.frozen.program import (
    Absolute,
    Add,
    Affine,
    Convolution,
    DepthToSpace,
    FirstChannels,
    LeakyRelu,
    Multiply,
    Normalization,
    Operation,
    Program,
    QualityFactors,
    QualityPlane,
    ReplicatePadding,
    Sigmoid,
    SpaceToDepth,
    TransposedConvolution,
)
from trimix.layers import quality
from trimix.layers.attention import Attention, BottleneckBlock
from trimix.layers.gdn import GeneralizedDivisiveNormalization
from trimix.layers.quality import QualityFactor
from trimix.layers.residual import (
    ConcatenatedResidualModule,
    DownsamplingBlock,
    PreactivatedBlock,
    ResidualBlock,
    UpsamplingBlock,
)
from trimix.shapes import Tensor
from trimix.transforms import analysis, hyper
from trimix.transforms.analysis import LinearPathAnalysis
from trimix.transforms.karhunen_loeve import LinearAnalysis, LinearSynthesis
from trimix.transforms.synthesis import LinearPathSynthesis


@dataclass
class Writer:
    """A program that is being written.

    Args:
        names: of parameters, by their ``id``.
        tensors: that the operations name: parameters, and what is made of some.
    """

    names: Mapping[int, str]
    operations: list[Operation] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def add(self, operation: Operation, *inputs: int) -> int:
        """Write an operation; return the number of its result."""
        taken = () if inputs == (len(self.operations),) else inputs
        self.operations.append(replace(operation, inputs=taken))
        return len(self.operations)

    def of(self, parameter: Tensor | None) -> str | None:
        """The name of an optional parameter."""
        return None if parameter is None else self.name(parameter)

    def name(self, parameter: Tensor, value: Tensor | None = None) -> str:
        """The name of a parameter; what is stored under it is another value if one is given."""
        name = self.names[id(parameter)]
        self.tensors[name] = parameter if value is None else value
        return name

    def chain(self, x: int, *layers: nn.Module) -> int:
        """Write layers in series."""
        for layer in layers:
            x = write(layer, self, x)
        return x


def program_of(layers: Sequence[nn.Module | None], names: Mapping[int, str]) -> tuple[Program, dict[str, Tensor]]:
    """The program of layers in series, and its tensors. Raises ModelError: no operations are known for a layer."""
    writer = Writer(names)
    writer.chain(0, *(layer for layer in layers if layer is not None))
    return tuple(writer.operations), writer.tensors


def write(layer: nn.Module, to: Writer, x: int) -> int:
    """Write what a layer makes of value x; return the number of its result.

    Raises:
        ModelError: no operations are known for it.
    """
    match layer:
        case nn.Sequential():
            return to.chain(x, *layer)
        case nn.Identity():
            return x
        case nn.Conv2d():
            weight, bias = to.name(layer.weight), to.of(layer.bias)
            padding = layer.padding[0]
            assert isinstance(padding, int)
            return to.add(Convolution(weight=weight, bias=bias, stride=layer.stride[0], padding=padding), x)
        case nn.ConvTranspose2d():
            padding = layer.padding[0]
            assert isinstance(padding, int)
            operation = TransposedConvolution(
                weight=to.name(layer.weight),
                bias=to.of(layer.bias),
                stride=layer.stride[0],
                padding=padding,
                output_padding=layer.output_padding[0],
            )
            return to.add(operation, x)
        case nn.LeakyReLU():
            return to.add(LeakyRelu(slope=layer.negative_slope), x)
        case nn.ReLU():
            return to.add(LeakyRelu(slope=0.0), x)
        case nn.Sigmoid():
            return to.add(Sigmoid(), x)
        case nn.PixelShuffle():
            return to.add(DepthToSpace(factor=layer.upscale_factor), x)
        case analysis.SpaceToDepth():
            return to.add(SpaceToDepth(factor=layer.factor), to.add(Affine(offset=-0.5), x))
        case analysis.Centre():
            return to.add(Affine(offset=-0.5), x)
        case quality.QualityPlane():
            return to.add(QualityPlane(), x)
        case hyper.Absolute():
            return to.add(Absolute(), x)
        case QualityFactor():
            return to.add(QualityFactors(logarithms=to.name(layer.log_factors)), x)
        case GeneralizedDivisiveNormalization():
            beta, gamma = layer.coefficients()
            operation = Normalization(
                beta=to.name(layer.beta, beta), gamma=to.name(layer.gamma, gamma), inverse=layer.inverse
            )
            return to.add(operation, x)
        case ResidualBlock():
            branch = to.chain(x, layer.first, layer.activation, layer.second, layer.activation)
            return to.add(Add(), branch, x)
        case PreactivatedBlock():
            branch = to.chain(x, layer.activation, layer.first, layer.activation, layer.second)
            return to.add(Add(), branch, x)
        case ConcatenatedResidualModule():
            return to.add(Add(), to.chain(x, layer.blocks), x)
        case DownsamplingBlock():
            branch = to.chain(x, layer.first, layer.activation, layer.second, layer.normalization)
            shortcut = Convolution(weight=to.name(layer.shortcut.weight), bias=to.of(layer.shortcut.bias), stride=2)
            return to.add(Add(), branch, to.add(shortcut, x))
        case UpsamplingBlock():
            branch = to.chain(x, layer.first, layer.activation, layer.second, layer.normalization)
            return to.add(Add(), branch, to.chain(x, layer.shortcut))
        case BottleneckBlock():
            return to.chain(to.add(Add(), to.chain(x, layer.branch), x), layer.activation)
        case Attention():
            product = to.add(Multiply(), to.chain(x, layer.mask), to.chain(x, layer.trunk))
            return to.add(Add(), product, x)
        case LinearAnalysis():
            block = layer.block
            whole = Convolution(weight=to.name(layer.weight), bias=to.name(layer.bias), stride=block)
            coefficients = to.add(whole, x)
            if layer.lapped_weight is None:
                return coefficients
            padded = to.add(ReplicatePadding(margin=block // 2), x)
            lapped = to.add(Convolution(weight=to.name(layer.lapped_weight), stride=block), padded)
            return to.add(Add(), coefficients, lapped)
        case LinearSynthesis():
            block = layer.block
            whole = TransposedConvolution(weight=to.name(layer.weight), bias=to.name(layer.mean), stride=block)
            pixels = to.add(whole, x)
            if layer.lapped_weight is None:
                return pixels
            first = to.add(FirstChannels(channels=layer.lapped_weight.shape[0]), x)
            # A block at the border has neighbours like itself; what it and they write outside is cut off.
            padded = to.add(ReplicatePadding(margin=1), first)
            lapped = TransposedConvolution(
                weight=to.name(layer.lapped_weight), stride=block, padding=block + block // 2
            )
            return to.add(Add(), pixels, to.add(lapped, padded))
        case LinearPathAnalysis():
            linear = to.add(Affine(factor=255.0), write(layer.linear, to, x))
            return to.add(Add(), linear, to.add(Affine(factor=layer.branch_gain), to.chain(x, *layer.branch())))
        case LinearPathSynthesis():
            linear = write(layer.linear, to, to.add(Affine(factor=1 / 255), x))
            correction = to.chain(to.add(Affine(factor=layer.input_scale), x), *layer.branch())
            if layer.branch_gain != 1:
                correction = to.add(Affine(factor=layer.branch_gain), correction)
            return to.add(Add(), linear, correction)
    raise ModelError(
        f"a frozen transform must consist of known layers, found {type(layer).__name__}: "
        "say in freezing/operations.py what it computes"
    )
