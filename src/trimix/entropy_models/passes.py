"""ONE run over the passes of a schedule: it encodes, decodes, counts and chooses, by a source and a sink of symbols.

::

    for each group of passes:   positions --> IntegerMixtureModel.parameters --> source --> symbols --> values --+
                                                          ^                                    |                 |
                                                          |                                    v                 |
                                                          |                                  sink                |
                                                          `----------------- context <---------------------------'

            encode   Rounding, or Choosing of the encoder --> SymbolWriter
            decode   SymbolReader                         --> nothing
            count    KnownSymbols                         --> BitCounter

A symbol is what is coded. The value of a latent is its symbol, or, where latents are rounded around their mean, symbol
plus mean in steps of 1/64.

A source that knows all symbols beforehand lets passes be merged into large groups: that is the dense form, the same
integers by the same code in fewer, larger matrix products. So does a model without context. A reader gets one pass at a
time. Groups are bounded, and memory with them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from trimix.coding import RangeDecoder, RangeEncoder
from trimix.entropy_models.integer_mixture import VALUE_STEPS, IntegerMixtureModel, LatentParameters
from trimix.entropy_models.schedule import Pass, Schedule, bands
from trimix.shapes import Int, Int16, Rectangle
from trimix.threads import in_threads
from trimix.time_budget import check_time

POSITIONS_AT_ONCE = 256
"""Largest group of positions; bounds memory and changes no number. Larger ones are no faster."""
POSITIONS_PREPARED_AT_ONCE = 2**14
"""Largest latent whose side features go through the head's first layer at once; bounds memory, changes no number."""
VALUE_LIMIT = 2**19
"""Values around a mean saturate here, in steps of 1/64: part of the format."""


@runtime_checkable
class SymbolSource(Protocol):
    """Where symbols come from."""

    known: np.ndarray | None
    """All symbols, int32 [h w M], if they are known beforehand."""

    def take(self, rows: np.ndarray, columns: np.ndarray, parameters: LatentParameters) -> np.ndarray:
        """The symbols at positions with these parameters, int32 [n * M], channels innermost."""
        ...


@runtime_checkable
class SymbolSink(Protocol):
    """Where symbols go."""

    def put(self, rows: np.ndarray, columns: np.ndarray, parameters: LatentParameters, symbols: np.ndarray) -> None:
        """Take the symbols at positions with these parameters."""
        ...


@runtime_checkable
class InSlices(Protocol):
    """A source or a sink of which slices may be taken at the same time."""

    def of_slice(self, number: int) -> Any:
        """The part for a slice, asked for once and in order. Positions stay those of the whole latent."""
        ...


class _Shared:
    """Slices have nothing in common but positions that differ."""

    def of_slice(self, number: int) -> Any:
        """Itself."""
        return self


@dataclass(eq=False)
class KnownSymbols(_Shared):
    """Source: symbols that are there already."""

    known: np.ndarray | None

    def take(self, rows: np.ndarray, columns: np.ndarray, parameters: LatentParameters) -> np.ndarray:
        """Pick the symbols at the positions."""
        assert self.known is not None
        return self.known[rows, columns].ravel()


@dataclass(eq=False)
class Rounding(_Shared):
    """Source: latents rounded to the nearest integer, around their mean where the model does so.

    Args:
        latents: before rounding, float32 [h w M], or int16 where they are rounded already.
    """

    latents: np.ndarray
    limit: int
    known: np.ndarray | None = field(default=None, init=False)

    def take(self, rows: np.ndarray, columns: np.ndarray, parameters: LatentParameters) -> np.ndarray:
        """Round the latents at the positions."""
        y = self.latents[rows, columns]
        if parameters.centres is not None:
            y = y - parameters.centres.reshape(y.shape) * np.float32(1 / VALUE_STEPS)
        return np.clip(np.rint(y), -self.limit, self.limit).astype(np.int32).ravel()


@dataclass(eq=False)
class Expecting:
    """Source: what is expected at every position, in place of symbols that were lost."""

    limit: int
    known: np.ndarray | None = field(default=None, init=False)

    def take(self, rows: np.ndarray, columns: np.ndarray, parameters: LatentParameters) -> np.ndarray:
        """The expected symbols."""
        return np.clip(parameters.expected, -self.limit, self.limit).astype(np.int32).ravel()


@dataclass(eq=False)
class SymbolReader:
    """Source: the payload of a file."""

    decoder: RangeDecoder
    known: np.ndarray | None = field(default=None, init=False)

    def take(self, rows: np.ndarray, columns: np.ndarray, parameters: LatentParameters) -> np.ndarray:
        """Decode the symbols at the positions."""
        return self.decoder.decode_mixture(parameters.mixture)


@dataclass(eq=False)
class SymbolWriter:
    """Sink: the payload of a file."""

    encoder: RangeEncoder

    def put(self, rows: np.ndarray, columns: np.ndarray, parameters: LatentParameters, symbols: np.ndarray) -> None:
        """Encode the symbols at the positions."""
        self.encoder.encode_mixture(symbols, parameters.mixture)


@dataclass(eq=False)
class SliceWriters:
    """Sink: the payload of a file, a writer for each slice."""

    writers: list[SymbolWriter] = field(default_factory=list)

    def of_slice(self, number: int) -> SymbolWriter:
        """A new writer."""
        self.writers.append(SymbolWriter(RangeEncoder()))
        return self.writers[-1]

    def finish(self) -> list[bytes]:
        """The stream of every slice."""
        return [one.encoder.finish() for one in self.writers]


class BitCounter(_Shared):
    """Sink: -log2 of the coder's integer probabilities.

    Args:
        shape: of the latent, h, w and M.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.bits = np.zeros(shape, dtype=np.float64)
        """Of every latent, [h w M]."""

    def put(self, rows: np.ndarray, columns: np.ndarray, parameters: LatentParameters, symbols: np.ndarray) -> None:
        """Count the symbols at the positions."""
        self.bits[rows, columns] = parameters.mixture.information_bits(symbols).reshape(len(rows), -1)


@dataclass(frozen=True)
class QuantizedLatents:
    """The latents after a run over the schedule.

    Args:
        values: in steps of ``IntegerMixtureModel.value_steps``; the symbols where latents are rounded as they are.
    """

    symbols: Int16[np.ndarray, "h w M"]
    values: Int[np.ndarray, "h w M"]


def _groups(passes: Sequence[Pass], *, merged: bool) -> Iterator[Pass]:
    waiting: list[Pass] = []
    for one in passes:
        for start in range(0, len(one.rows), POSITIONS_AT_ONCE):
            part = slice(start, start + POSITIONS_AT_ONCE)
            piece = Pass(one.rows[part], one.columns[part], one.context)
            total = sum(len(other.rows) for other in waiting) + len(piece.rows)
            fits = merged and total <= POSITIONS_AT_ONCE and waiting
            if waiting and not (fits and waiting[0].context == piece.context):
                yield _joined(waiting)
                waiting = []
            waiting.append(piece)
    if waiting:
        yield _joined(waiting)


def _joined(passes: list[Pass]) -> Pass:
    if len(passes) == 1:
        return passes[0]
    return Pass(
        np.concatenate([p.rows for p in passes]), np.concatenate([p.columns for p in passes]), passes[0].context
    )


SideOfPart = Callable[[Rectangle], Int[np.ndarray, "h w S"]]
"""Side features of a part of a latent."""


def run_slices(
    model: IntegerMixtureModel,
    side_of: SideOfPart,
    schedule: Schedule,
    slices: Sequence[Rectangle],
    source: SymbolSource,
    sink: SymbolSink | InSlices | None = None,
    threads: int = 1,
    into: Int16[np.ndarray, "h w M"] | None = None,
) -> QuantizedLatents:
    """Go through all slices of a latent, each by itself, and return its symbols and values.

    Args:
        side_of: asked for one band of slices after the other, each of which is forgotten.
        threads: take so many slices at a time, where source and sink allow it; the result is the same.
        into: where the symbols of several slices go; it may be what the source takes them from, which looks at no
            slice but its own.
    """
    sources: list[Any]
    sinks: list[Any]
    sources, sinks = (
        [one.of_slice(number) if isinstance(one, InSlices) else one for number in range(len(slices))]
        for one in (source, sink)
    )

    def run(number: int, side: Int[np.ndarray, "h w S"]) -> QuantizedLatents:
        one = slices[number]
        passes = schedule(one.height, one.width)
        return run_schedule(model, side, passes, sources[number], sinks[number], origin=(one.top, one.left))

    if len(slices) == 1:
        return run(0, side_of(slices[0]))
    at_once = threads if isinstance(source, InSlices) and (sink is None or isinstance(sink, InSlices)) else 1
    shape = *slices[-1].ends, model.latent_channels
    symbols = np.empty(shape, np.int16) if into is None else into
    values = np.empty(shape, np.int32) if model.layout.around_mean else symbols
    for number, found in slice_by_slice(slices, side_of, run, at_once):
        here = slices[number].positions
        symbols[here], values[here] = found.symbols, found.values
    return QuantizedLatents(symbols, values)


def slice_by_slice(
    slices: Sequence[Rectangle],
    side_of: SideOfPart,
    run: Callable[[int, Int[np.ndarray, "h w S"]], QuantizedLatents],
    threads: int,
) -> Iterator[tuple[int, QuantizedLatents]]:
    """The number of each slice, in order, and what a run over it gives; so many at a time.

    Args:
        slices: some of a latent's, as for `bands`.
        run: of the number of a slice and its side features.
    """
    for part, numbers in bands(slices):
        side = side_of(part)
        sides = [side[slices[number].within(part)] for number in numbers]
        yield from zip(numbers, in_threads(threads, run, numbers, sides), strict=True)


def run_schedule(
    model: IntegerMixtureModel,
    side: Int[np.ndarray, "h w S"],
    passes: Sequence[Pass],
    source: SymbolSource,
    sink: SymbolSink | None = None,
    *,
    merged: bool = True,
    origin: tuple[int, int] = (0, 0),
) -> QuantizedLatents:
    """Go through all positions of a latent, or of a slice of one, and return its symbols and values.

    Args:
        passes: the schedule; every position once.
        merged: merge passes where the values of the context are known; the stream is the same either way.
        origin: row and column of the slice, which source and sink count from.
    """
    top, left = origin
    height, width, _ = side.shape
    margin, around_mean = model.margin, model.layout.around_mean
    # Rounded as they are, values are symbols, which 16 bits hold; values around a mean are finer.
    shape = height + 2 * margin, width + 2 * margin, model.latent_channels
    padded = np.zeros(shape, np.int32 if around_mean else np.int16)
    values = padded[margin : margin + height, margin : margin + width]
    symbols = np.zeros_like(values, dtype=np.int16) if around_mean else values
    prefilled = source.known is not None and not around_mean
    if source.known is not None and not around_mean:
        values[:] = source.known[top : top + height, left : left + width]
    # One large matrix product instead of one in every small pass; of a large latent it would take much memory.
    together = height * width <= POSITIONS_PREPARED_AT_ONCE
    prepared = model.prepare(side.reshape(height * width, -1)).reshape(height, width, -1) if together else None
    for group in _groups(passes, merged=merged and (prefilled or not model.contexts)):
        check_time()
        rows, columns = group.rows, group.columns
        parameters = model.parameters(
            model.prepare(side[rows, columns]) if prepared is None else prepared[rows, columns],
            padded,
            rows,
            columns,
            context=group.context,
        )
        found = source.take(rows + top, columns + left, parameters)
        if sink is not None:
            sink.put(rows + top, columns + left, parameters, found)
        if prefilled:
            continue
        taken = found.reshape(len(rows), -1)
        symbols[rows, columns] = taken
        if parameters.centres is not None:
            centres = parameters.centres.reshape(taken.shape)
            values[rows, columns] = np.clip(VALUE_STEPS * taken + centres, -VALUE_LIMIT, VALUE_LIMIT)
    return QuantizedLatents(symbols, values)
