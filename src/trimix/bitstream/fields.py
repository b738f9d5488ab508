"""The primitive fields of a `.tmix` file, written and read in order.

Integers are little-endian. A varint is LEB128: seven bits per byte, lowest first, the top bit of a byte says
that another follows; at most five bytes, at most 2^32 - 1, no longer than needed.
"""

from trimix.errors import CorruptedFileError, TruncatedFileError, UsageError

VARINT_MAXIMUM = 2**32 - 1
_VARINT_BYTES_MAXIMUM = 5


class FieldWriter:
    """Appends fields to a growing run of bytes.

    >>> writer = FieldWriter()
    >>> writer.unsigned(258, size=2, name="model identifier")
    >>> writer.varint(300, name="width")
    >>> writer.to_bytes().hex(" ")
    '02 01 ac 02'
    """

    def __init__(self) -> None:
        self._data = bytearray()

    def unsigned(self, value: int, *, size: int, name: str) -> None:
        """Append an integer in `size` bytes, little-endian. UsageError with the field's name if it does not fit."""
        self._check(value, (1 << (8 * size)) - 1, name)
        self._data += value.to_bytes(size, "little")

    def varint(self, value: int, *, name: str) -> None:
        """Append an integer as LEB128. UsageError with the field's name if it does not lie in 0 .. 2^32 - 1."""
        self._check(value, VARINT_MAXIMUM, name)
        while value >= 0x80:
            self._data.append(value & 0x7F | 0x80)
            value >>= 7
        self._data.append(value)

    @staticmethod
    def _check(value: int, maximum: int, name: str) -> None:
        if not 0 <= value <= maximum:
            raise UsageError(f"{name} must lie in 0..{maximum}, found {value}; give a value that fits")

    def raw(self, data: bytes) -> None:
        """Append bytes as they are."""
        self._data += data

    def to_bytes(self) -> bytes:
        """Everything appended so far."""
        return bytes(self._data)


class FieldReader:
    """Takes fields off the front of `data` and never reads past its end.

    >>> reader = FieldReader(bytes.fromhex("0201ac02"))
    >>> reader.unsigned(size=2, name="model identifier"), reader.varint(name="width")
    (258, 300)
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0
        """Bytes read so far."""

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self.position

    def before_position(self) -> bytes:
        """Everything read so far, for a checksum."""
        return self._data[: self.position]

    def raw(self, size: int, *, name: str) -> bytes:
        """The next `size` bytes. TruncatedFileError with the field's name if fewer are left; nothing is allocated."""
        if size > self.remaining:
            raise TruncatedFileError(
                f"{name} takes {size} bytes at offset {self.position}, found {self.remaining}; "
                "the file was cut short: fetch it again"
            )
        self.position += size
        return self._data[self.position - size : self.position]

    def unsigned(self, *, size: int, name: str) -> int:
        """The next `size` bytes as a little-endian integer; raises as `raw` does."""
        return int.from_bytes(self.raw(size, name=name), "little")

    def varint(self, *, name: str) -> int:
        """The next LEB128 integer, 0 .. 2^32 - 1.

        Raises:
            TruncatedFileError: the bytes end inside it.
            CorruptedFileError: it is longer than needed or too large. One number has one spelling.
        """
        value = 0
        for index in range(_VARINT_BYTES_MAXIMUM):
            byte = self.unsigned(size=1, name=name)
            value |= (byte & 0x7F) << (7 * index)
            if byte & 0x80:
                continue
            if value > VARINT_MAXIMUM or (byte == 0 and index > 0):
                break
            return value
        raise CorruptedFileError(
            f"{name} must be a varint of at most 2^32 - 1 in its shortest form, "
            f"found another at offset {self.position}; the file is damaged: fetch it again"
        )
