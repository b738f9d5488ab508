"""Parts of pictures."""

from dataclasses import dataclass

from trimix.errors import UsageError


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture, in its pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def positions(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def whole_or(region: Window | None, height: int, width: int, reduction: int = 1) -> Window:
    """A region of a picture, widened to multiples of the reduction, or all of it for None.

    Raises:
        UsageError: it is empty, or a part of it lies outside.

    >>> whole_or(Window(5, 0, 6, 40), 100, 40, reduction=4)
    Window(top=4, left=0, height=8, width=40)
    """
    if region is None:
        return Window(0, 0, height, width)
    rows, columns = region.positions
    if not (0 <= rows.start < rows.stop <= height and 0 <= columns.start < columns.stop <= width):
        raise UsageError(
            f"a region must lie within the picture, {width}x{height}, found {region.width}x{region.height} from "
            f"({region.left}, {region.top}) on; change it"
        )
    top, left = (one.start // reduction * reduction for one in (rows, columns))
    bottom, right = (
        min(size, -(-one.stop // reduction) * reduction) for one, size in ((rows, height), (columns, width))
    )
    return Window(top, left, bottom - top, right - left)
