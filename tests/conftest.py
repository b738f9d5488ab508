"""What holds for all tests."""

import os
import signal
from pathlib import Path

# Tiny tensors gain nothing from threads, and lose much where cores are shared. Before torch is imported, and for
# the commands that tests start; tests of threads ask for them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

# Where the suite runs in the background, Ctrl-C may be ignored, and by all that tests start: some send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine may pause a test for long: no deadline per example. Examples are the same in every run.
settings.register_profile("trimix", deadline=None, derandomize=True)
settings.load_profile("trimix")


@pytest.fixture(scope="session", autouse=True)
def compiled_coder() -> None:
    """Every kernel of the coder is compiled and cached, as after the first use.

    Otherwise the first tests on a new machine would wait for it, and find commands that speak of it.
    """
    from trimix.codec import Codec
    from trimix.coding import DECODING_KERNELS, SEARCHING_KERNELS, compilation_is_cached, information
    from trimix.images import Picture

    kernels = (*SEARCHING_KERNELS, *DECODING_KERNELS)
    if compilation_is_cached(kernels):
        return
    codec = Codec.load(Path(__file__).parent / "golden" / "gllmm-tiny-0.safetensors")
    codec.decode(codec.encode(Picture(np.zeros((64, 64, 3), np.uint8))))
    plane = np.ones((1, 1), np.float32)
    information(np.zeros(1, np.float32), [0], 0 * plane, 0 * plane, plane)
    assert compilation_is_cached(kernels)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a tiny model, alone in a folder that is searched for models."""
    from tiny_models import tiny_frozen
    from trimix.frozen.storage import save_frozen

    monkeypatch.setenv("TRIMIX_MODELS", str(tmp_path))
    path = tmp_path / "gllmm-tiny-0.safetensors"
    save_frozen(tiny_frozen(), path)
    return path
