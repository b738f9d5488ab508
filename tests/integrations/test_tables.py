"""Tables with a column of picture files."""

from pathlib import Path

import pyarrow
import pytest
from pyarrow import feather, parquet

from trimix.errors import PictureError, UsageError
from trimix.integrations.tables import compressed_table, part_count, read_part

CELLS = [b"one", b"two", b"three", None, b""]


def halved(row: int, data: bytes) -> bytes:
    if data == b"two":
        raise PictureError(f"row {row}")
    return data[: len(data) // 2]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_parts_are_the_groups_of_rows_as_they_were_written(suffix: str, tmp_path: Path) -> None:
    table, path = pyarrow.table({"number": list(range(5))}), tmp_path / f"table{suffix}"
    if suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=2)
    else:
        feather.write_feather(table, str(path), chunksize=2, compression="uncompressed")
    assert part_count(path) == 3
    assert [read_part(path, part).column("number").to_pylist() for part in range(3)] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    "kind", [pyarrow.binary(), pyarrow.large_binary(), pyarrow.struct({"bytes": pyarrow.binary()})]
)
def test_every_row_keeps_its_place(kind: pyarrow.DataType) -> None:
    cells = [{"bytes": one} for one in CELLS] if pyarrow.types.is_struct(kind) else CELLS
    table = pyarrow.table({"a": [1, 2, 3, 4, 5], "image": pyarrow.array(cells, kind), "b": [5, 4, 3, 2, 1]})
    found, errors = compressed_table(table, "image", halved)
    assert found.column_names == ["a", "image", "b", "trimix_error"]
    assert found.column("image").to_pylist() == [b"o", None, b"th", None, b""]
    assert found.column("trimix_error").to_pylist() == [None, "row 1", None, None, None]
    assert errors == {1: "row 1"}
    again, _ = compressed_table(found, "image", lambda row, data: data)
    assert again.column("trimix_error").null_count == 5


def test_what_is_no_table_of_pictures_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(PictureError, match="must be a Parquet or Arrow file, found another"):
        part_count(path)
    with pytest.raises(UsageError, match="must have the column image, found a"):
        compressed_table(pyarrow.table({"a": [1]}), "image", halved)
    with pytest.raises(UsageError, match="column a must hold the bytes of picture files, found int64"):
        compressed_table(pyarrow.table({"a": [1]}), "a", halved)
