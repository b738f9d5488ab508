"""``trimix warm-up``: what the first picture would wait for is done beforehand."""

from trimix.cli.networks import prepare_coding
from trimix.cli.options import Device
from trimix.cli.outputs import print_summary
from trimix.progress import working

_SIDE = 64


def warm_up() -> None:
    """Compile the coder and keep it, in the image of a container say, so that no picture waits for it.

    A package that was built where a C compiler is has its coder compiled. Without,
    Numba keeps machine code beside the package or in the user's cache;
    NUMBA_CACHE_DIR names another folder. A picture is coded to try it.
    """
    with working("compiling the coder"):
        prepare_coding(Device.CPU, None)
        import numpy as np

        from trimix.codec import Codec
        from trimix.coding import information, is_native
        from trimix.images import Picture

        codec, plane = Codec.load(), np.ones((1, 1), np.float32)
        noise = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
        codec.decode(codec.encode(Picture(noise)))
        information(plane[0], [0], plane, plane, plane)
    print_summary("the coder is part of the package" if is_native() else "the coder is compiled and kept")
