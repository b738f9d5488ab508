"""An ICC profile of colours that are described by numbers: gAMA, cHRM and cICP of PNG, nclx of AVIF.

ICC.1:2001-04 (version 2), a matrix and three tone curves: the form that every reader knows.
"""

import struct
from collections.abc import Iterable

import numpy as np

from trimix.images.chunks import Chunk

_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D65 = (0.3127, 0.3290)
# White, red, green, blue (x, y) of ITU-T H.273.
_PRIMARIES = {
    1: (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: (_D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
}
_SRGB_PRIMARIES, _SRGB_TRANSFER = 1, 13
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_CURVE_STEPS = 1024


def profile_of_chunks(chunks: Iterable[Chunk]) -> bytes:
    """The ICC profile of the colours that chunks describe.

    Empty where they describe none, or one that no matrix and curve can say (PQ, HLG).

    >>> len(profile_of_chunks([Chunk(b"gAMA", (45455).to_bytes(4, "big"))]))
    476
    """
    found = {one.type: one.data for one in chunks}
    curve: bytes | None
    if len(coded := found.get(b"cICP", b"")) == 4:
        points, curve = _PRIMARIES.get(coded[0]), _curve_of_transfer(coded[1])
    elif len(gamma := found.get(b"gAMA", b"")) == 4 and any(gamma):
        points, curve = _points(found.get(b"cHRM", b"")), _gamma_curve(100000 / int.from_bytes(gamma, "big"))
    elif len(found.get(b"cHRM", b"")) == 32:
        points, curve = _points(found[b"cHRM"]), _srgb_curve()
    else:
        return b""
    if points is None or curve is None:
        return b""
    try:
        columns = _matrix(points)
    except np.linalg.LinAlgError:
        return b""
    return _profile(columns, curve)


def _points(chromaticities: bytes) -> tuple[tuple[float, float], ...] | None:
    if len(chromaticities) != 32:
        return _PRIMARIES[_SRGB_PRIMARIES]
    numbers = [number / 100000 for number in struct.unpack(">8I", chromaticities)]
    points = tuple((numbers[at], numbers[at + 1]) for at in range(0, 8, 2))
    return points if all(y > 0 and x <= 1 and y <= 1 for x, y in points) else None


def _matrix(points: tuple[tuple[float, float], ...]) -> np.ndarray:
    """XYZ of R, G and B as columns, adapted from their white to D50."""
    white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in points)
    columns = np.stack(primaries, axis=1)
    columns = columns * np.linalg.solve(columns, white)
    cones = _BRADFORD @ np.stack([white, _D50], axis=1)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones[:, 1] / cones[:, 0]) @ _BRADFORD
    return adapted @ columns


def _curve_of_transfer(transfer: int) -> bytes | None:
    if transfer == _SRGB_TRANSFER:
        return _srgb_curve()
    if transfer in (1, 6, 14, 15):  # BT.709 and its kin, as shown: BT.1886
        return _gamma_curve(2.4)
    return _gamma_curve(_GAMMAS[transfer]) if transfer in _GAMMAS else None


def _gamma_curve(gamma: float) -> bytes | None:
    if not 0.01 <= gamma <= 100:
        return None
    return struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256))


def _srgb_curve() -> bytes:
    level = np.linspace(0, 1, _CURVE_STEPS)
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return struct.pack(">4sII", b"curv", 0, _CURVE_STEPS) + np.rint(light * 65535).astype(">u2").tobytes()


def _profile(columns: np.ndarray, curve: bytes) -> bytes:
    text = b"RGB described by numbers"
    description = struct.pack(">4sII", b"desc", 0, len(text) + 1) + text + bytes(1 + 4 + 4 + 2 + 1 + 67)
    blocks = [
        (b"desc", description),
        (b"cprt", b"text" + bytes(4) + b"No copyright\0"),
        (b"wtpt", _xyz(_D50)),
        *((name, _xyz(column)) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True)),
    ]
    table, body = b"", b""
    offset = 128 + 4 + 12 * (len(blocks) + 3)
    for name, block in blocks:
        table += struct.pack(">4sII", name, offset + len(body), len(block))
        body += block + bytes(-len(block) % 4)
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        table += struct.pack(">4sII", name, offset + len(body), len(curve))
    body += curve + bytes(-len(curve) % 4)
    header = struct.pack(
        ">I4sI4s4s4s6H4s4sI4s4s8sI12s4s44x",
        offset + len(body), b"", 0x02400000, b"mntr", b"RGB ", b"XYZ ", 2020, 1, 1, 0, 0, 0,
        b"acsp", b"", 0, b"", b"", b"", 0, _xyz(_D50)[8:], b"",
    )  # fmt: skip
    return header + struct.pack(">I", len(blocks) + 3) + table + body


def _xyz(values: np.ndarray) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(float(value) * 65536) for value in values))
