"""The latents of a file, slice by slice, as somebody asks for them.

::

    hyper-latents --crop--> side features of a part --+
                                                      v
    streams of the slices in the part --> run over the schedule, several at a time --> symbols, checked --> values

What lies above what is asked for is forgotten, so that a picture read from above takes the memory of some rows.
"""

from collections.abc import Sequence

import numpy as np

from trimix.bitstream import SliceStream
from trimix.coding import RangeDecoder
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.entropy_models.passes import Expecting, QuantizedLatents, SymbolReader, run_schedule, slice_by_slice
from trimix.entropy_models.schedule import latent_slices
from trimix.errors import CodecError, DesynchronizedError
from trimix.frozen.model import FrozenModel, SideFeatures
from trimix.latent_codec import Symbols, symbol_checksum
from trimix.shapes import Float, Int, Int16
from trimix.threads import thread_count


class LatentReader:
    """Values of the latents of one file.

    Args:
        streams: of the slices, row by row; of a picture that is not sliced the only one.
        keep_going: where a slice is damaged, take what is expected there, and count it in ``lost``.
    """

    def __init__(
        self,
        model: FrozenModel,
        hyper_latent: Int16[np.ndarray, "Z hh hw"],
        quality_integer: int,
        streams: Sequence[SliceStream],
        *,
        is_sliced: bool,
        keep_going: bool = False,
    ) -> None:
        self._model, self._side_of = model, SideFeatures(model, hyper_latent, quality_integer)
        self.grid = self._side_of.grid
        """Rows and columns of all latents."""
        self.slices = latent_slices(*self.grid, sliced=is_sliced)
        self.lost: list[int] = []
        """Numbers of slices that were damaged."""
        self._streams, self._is_sliced, self._keep_going = streams, is_sliced, keep_going
        self._found: dict[int, QuantizedLatents] = {}

    def read(self, rows: slice, columns: slice) -> Float[np.ndarray, "M h w"]:
        """Values of a part, in steps of the quantizer.

        Raises:
            CodecError: a slice is damaged.
        """
        self._found = {
            number: found for number, found in self._found.items() if self.slices[number].positions[0].stop > rows.start
        }
        wanted = [n for n, one in enumerate(self.slices) if all(map(_meet, one.positions, (rows, columns)))]
        self._decode([number for number in wanted if number not in self._found])
        latent_model = self._model.latent_model
        shape = rows.stop - rows.start, columns.stop - columns.start
        values = np.empty((latent_model.latent_channels, *shape), np.float32)
        for number in wanted:
            to, of = zip(*map(_common, self.slices[number].positions, (rows, columns)), strict=True)
            values[:, *to] = self._found[number].values[of].transpose(2, 0, 1)
        values /= np.float32(latent_model.value_steps)
        return values

    def symbols(self) -> Symbols:
        """All symbols of the file; raises as ``read`` does."""
        self._decode(range(len(self.slices)))
        shape = *self.grid, self._model.latent_model.latent_channels
        symbols = np.empty(shape, np.int16)
        values = np.empty(shape, np.int32) if self._model.latent_model.layout.around_mean else None
        for number, one in enumerate(self.slices):
            symbols[one.positions] = self._found[number].symbols
            if values is not None:
                values[one.positions] = self._found[number].values
        planes = [None if each is None else np.ascontiguousarray(each.transpose(2, 0, 1)) for each in (symbols, values)]
        assert planes[0] is not None
        side_of = self._side_of
        return Symbols(planes[0], side_of.hyper_latent, side_of.quality_integer, planes[1], self._is_sliced)

    def _decode(self, numbers: Sequence[int]) -> None:
        """Decode slices, several at a time."""
        slices = [self.slices[number] for number in numbers]

        def run(index: int, side: Int[np.ndarray, "h w S"]) -> QuantizedLatents:
            return self._of_slice(numbers[index], side)

        for index, found in slice_by_slice(slices, self._side_of, run, thread_count()):
            self._found[numbers[index]] = found

    def _of_slice(self, number: int, side: Int[np.ndarray, "h w S"]) -> QuantizedLatents:
        model, passes = self._model.latent_model, self._model.schedule(*side.shape[:2])
        try:
            decoder = RangeDecoder(self._streams[number].stream)
            found = run_schedule(model, side, passes, SymbolReader(decoder))
            decoder.finish()
            planes = found.symbols.transpose(2, 0, 1)
            checksum = (
                symbol_checksum(planes) if self._is_sliced else symbol_checksum(self._side_of.hyper_latent, planes)
            )
            check_symbols(checksum, self._streams[number].symbol_checksum)
            return found
        except CodecError:
            if not self._keep_going:
                raise
            self.lost.append(number)
            return run_schedule(model, side, passes, Expecting(ACTIVATION_LIMIT))


def check_symbols(found: int, expected: int) -> None:
    """Refuse symbols of another checksum: DesynchronizedError."""
    if found != expected:
        raise DesynchronizedError(
            f"the decoded symbols must have the checksum {expected:08x}, found {found:08x}: "
            "the file was not made by this model, or is damaged"
        )


def _meet(one: slice, other: slice) -> bool:
    return one.start < other.stop and other.start < one.stop


def _common(positions: slice, wanted: slice) -> tuple[slice, slice]:
    """What two ranges have in common, counted from the start of the second, and of the first."""
    start, stop = max(positions.start, wanted.start), min(positions.stop, wanted.stop)
    return slice(start - wanted.start, stop - wanted.start), slice(start - positions.start, stop - positions.start)
