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
        """Append an integer in `size` bytes, little-endian.

        Args:
            value: 0 .. 256^size - 1.
            size: bytes the field takes.
            name: the field, for the message of an error.

        Raises:
            UsageError: the value does not fit.
        """
        if not 0 <= value < 1 << (8 * size):
            raise UsageError(f"{name} must lie in 0..{(1 << (8 * size)) - 1}, found {value}; give a value that fits")
        self._data += value.to_bytes(size, "little")

    def varint(self, value: int, *, name: str) -> None:
        """Append an integer as LEB128.

        Args:
            value: 0 .. 2^32 - 1.
            name: the field, for the message of an error.

        Raises:
            UsageError: the value does not fit.
        """
        if not 0 <= value <= VARINT_MAXIMUM:
            raise UsageError(f"{name} must lie in 0..{VARINT_MAXIMUM}, found {value}; give a value that fits")
        while value >= 0x80:
            self._data.append(value & 0x7F | 0x80)
            value >>= 7
        self._data.append(value)

    def raw(self, data: bytes) -> None:
        """Append bytes as they are."""
        self._data += data

    def to_bytes(self) -> bytes:
        """Everything appended so far."""
        return bytes(self._data)


class FieldReader:
    """Takes fields off the front of `data` and never reads past its end.

    Args:
        data: the bytes to read; they may come from anywhere.

    >>> reader = FieldReader(bytes.fromhex("0201ac02"))
    >>> reader.unsigned(size=2, name="model identifier"), reader.varint(name="width")
    (258, 300)
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._position

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._position

    def before_position(self) -> bytes:
        """Everything read so far, for a checksum."""
        return self._data[: self._position]

    def raw(self, size: int, *, name: str) -> bytes:
        """The next `size` bytes.

        Args:
            size: bytes to take; compared with what is there before anything is allocated.
            name: the field, for the message of an error.

        Raises:
            TruncatedFileError: fewer bytes are left.
        """
        if size > self.remaining:
            raise TruncatedFileError(
                f"{name} takes {size} bytes at offset {self._position}, found {self.remaining}; "
                "the file was cut short: fetch it again"
            )
        start = self._position
        self._position += size
        return self._data[start : self._position]

    def unsigned(self, *, size: int, name: str) -> int:
        """The next `size` bytes as a little-endian integer.

        Raises:
            TruncatedFileError: fewer bytes are left.
        """
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
            if byte == 0 and index > 0:
                break
            if value > VARINT_MAXIMUM:
                break
            return value
        raise CorruptedFileError(
            f"{name} must be a varint of at most 2^32 - 1 in its shortest form, "
            f"found another at offset {self._position}; the file is damaged: fetch it again"
        )
