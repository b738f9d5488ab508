"""The primitive fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimix.bitstream import FieldReader, FieldWriter
from trimix.errors import CorruptedFileError, TruncatedFileError, UsageError


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_varints_round_trip(values):
    writer = FieldWriter()
    for value in values:
        writer.varint(value, name="value")
    reader = FieldReader(writer.to_bytes())
    assert [reader.varint(name="value") for _ in values] == values
    assert reader.remaining == 0


@pytest.mark.parametrize(
    ("value", "size"), [(0, 1), (127, 1), (128, 2), (2**14 - 1, 2), (2**14, 3), (2**28, 5), (2**32 - 1, 5)]
)
def test_varints_are_short(value, size):
    writer = FieldWriter()
    writer.varint(value, name="value")
    assert len(writer.to_bytes()) == size


@given(st.binary(max_size=8))
def test_any_bytes_are_one_varint_in_its_only_spelling_or_an_error(data):
    reader = FieldReader(data)
    try:
        value = reader.varint(name="value")
    except (CorruptedFileError, TruncatedFileError):
        return
    writer = FieldWriter()
    writer.varint(value, name="value")
    assert writer.to_bytes() == reader.before_position()


@given(st.integers(1, 8), st.data())
def test_unsigned_integers_round_trip(size, data):
    value = data.draw(st.integers(0, 256**size - 1))
    writer = FieldWriter()
    writer.unsigned(value, size=size, name="value")
    assert FieldReader(writer.to_bytes()).unsigned(size=size, name="value") == value


@pytest.mark.parametrize("value", [-1, 256])
def test_a_value_that_does_not_fit_is_refused(value):
    with pytest.raises(UsageError, match=r"depth must lie in 0\.\.255, found"):
        FieldWriter().unsigned(value, size=1, name="depth")


@pytest.mark.parametrize("value", [-1, 2**32])
def test_a_varint_that_does_not_fit_is_refused(value):
    with pytest.raises(UsageError, match=r"width must lie in 0\.\.4294967295, found"):
        FieldWriter().varint(value, name="width")


def test_reading_past_the_end_is_refused_and_moves_nothing():
    reader = FieldReader(b"abc")
    assert reader.raw(1, name="first") == b"a"
    with pytest.raises(TruncatedFileError, match="hash takes 4294967296 bytes at offset 1, found 2; "):
        reader.raw(2**32, name="hash")
    assert (reader.position, reader.remaining) == (1, 2)
