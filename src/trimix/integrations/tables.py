"""Tables of pictures: Parquet and Arrow files with a column of picture files, one group of rows at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

from trimix.errors import PictureError, TrimixError, UsageError, needing

if TYPE_CHECKING:
    import pyarrow

TABLE_SUFFIXES = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
ERROR_COLUMN = "trimix_error"
"""What is wrong with the picture of a row; null where it was compressed."""
_PARQUET_SUFFIXES = (".parquet", ".pq")


def part_count(location: Any) -> int:
    """How many groups of rows a table was written in.

    Args:
        location: a path, or anything with its ``suffix`` and ``open``.

    Raises:
        PictureError: it is no readable table.
        MissingExtraError: pyarrow is not installed.
    """
    with _opened(location) as (reader, is_parquet):
        return reader.num_row_groups if is_parquet else reader.num_record_batches


def read_part(location: Any, part: int) -> "pyarrow.Table":
    """One group of rows of a table; args and errors are those of `part_count`."""
    with _opened(location) as (reader, is_parquet):
        if is_parquet:
            return reader.read_row_group(part)
        import pyarrow

        return pyarrow.Table.from_batches([reader.get_batch(part)])


@contextmanager
def _opened(location: Any) -> Iterator[tuple[Any, bool]]:
    with needing("pyarrow", "a table of pictures", "ray"):
        import pyarrow
        from pyarrow import ipc, parquet
    is_parquet = location.suffix.lower() in _PARQUET_SUFFIXES
    try:
        with location.open("rb") as file:
            yield parquet.ParquetFile(file) if is_parquet else ipc.open_file(file), is_parquet
    except (OSError, pyarrow.ArrowException) as error:
        raise PictureError(
            f"{location}: must be a Parquet or Arrow file, found another ({str(error).splitlines()[0]}); write it again"
        ) from error


def compressed_table(
    table: "pyarrow.Table", column: str, compress: Callable[[int, bytes], bytes]
) -> "tuple[pyarrow.Table, dict[int, str]]":
    """The table with compressed files in place of pictures, and what is wrong with those that are none, by row.

    A row without a picture stays so. All other columns stay as they are; one named `ERROR_COLUMN` is added.

    Args:
        column: of bytes, or of structures with a field ``bytes``, as image sets of Hugging Face have them.
        compress: makes the file of a row's picture; a TrimixError concerns this row alone.

    Raises:
        UsageError: there is no such column of bytes.

    >>> import pyarrow
    >>> table, errors = compressed_table(pyarrow.table({"image": [b"one", None]}), "image", lambda row, data: data[:1])
    >>> table.to_pylist(), errors
    ([{'image': b'o', 'trimix_error': None}, {'image': None, 'trimix_error': None}], {})
    """
    import pyarrow
    from pyarrow import types

    if column not in table.column_names:
        raise UsageError(f"the table must have the column {column}, found {', '.join(table.column_names)}")
    cells = table.column(column)
    if types.is_struct(cells.type) and cells.type.get_field_index("bytes") >= 0:
        cells = table.select([column]).flatten().column(f"{column}.bytes")
    if not (types.is_binary(cells.type) or types.is_large_binary(cells.type)):
        raise UsageError(f"the column {column} must hold the bytes of picture files, found {cells.type}; name another")
    files: list[bytes | None] = []
    errors: dict[int, str] = {}
    for row, cell in enumerate(cells):
        data = cell.as_py()
        try:
            files.append(None if data is None else compress(row, data))
        except TrimixError as error:
            files.append(None)
            errors[row] = str(error)
    table = table.set_column(table.column_names.index(column), column, pyarrow.array(files, pyarrow.large_binary()))
    messages = [errors.get(row) for row in range(len(files))]
    if ERROR_COLUMN in table.column_names:
        table = table.drop_columns([ERROR_COLUMN])
    return table.append_column(ERROR_COLUMN, pyarrow.array(messages, pyarrow.string())), errors


def parquet_bytes(table: "pyarrow.Table") -> bytes:
    """The table as the contents of a Parquet file."""
    from pyarrow import parquet

    buffer = BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()
