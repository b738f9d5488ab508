"""Parts of pictures."""

from trimix.errors import UsageError
from trimix.shapes import Rectangle


def region_or_whole(region: Rectangle | None, height: int, width: int, reduction: int = 1) -> Rectangle:
    """A region of a picture, widened to multiples of the reduction, or all of it for None.

    Raises:
        UsageError: it is empty, or a part of it lies outside.

    >>> region_or_whole(Rectangle(5, 0, 6, 40), 100, 40, reduction=4)
    Rectangle(top=4, left=0, height=8, width=40)
    """
    if region is None:
        return Rectangle(0, 0, height, width)
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
    return Rectangle(top, left, bottom - top, right - left)
