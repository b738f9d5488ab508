"""What commands that run networks do first."""

import os
import sys
import warnings
from importlib.util import find_spec
from typing import Literal

from trimix.allocator import keep_freed_memory
from trimix.cli.interrupts import raise_if_interrupted
from trimix.cli.options import Device
from trimix.errors import UsageError, needing_torch

_THREADS_VARIABLE = "OMP_NUM_THREADS"
"""What torch reads when it is imported, and trimix for ONNX Runtime."""
_PRODUCTS_VARIABLE = "OPENBLAS_NUM_THREADS"
"""What NumPy reads when it is imported; why one thread is best, `trimix.threads` says."""


def prepare_coding(device: Device, threads: int | None) -> str:
    """Set the threads of all libraries and return the device's name: ``cpu``, which needs no torch, or ``cuda``.

    Raises:
        UsageError: CUDA is wanted and there is none.
    """
    if threads is not None:
        os.environ[_THREADS_VARIABLE] = str(threads)
    os.environ.setdefault(_PRODUCTS_VARIABLE, "1")
    if device is Device.CPU or (device is Device.AUTO and find_spec("torch") is None):
        raise_if_interrupted()
        keep_freed_memory()
        return "cpu"
    return prepare_torch(device, threads)


def prepare_torch(device: Device, threads: int | None) -> str:
    """Import torch, set its threads, and return the device's name for it: ``cpu`` or ``cuda``.

    Raises:
        MissingExtraError: torch is not installed.
        UsageError: CUDA is wanted and there is none.
    """
    with needing_torch("this command" if device is Device.CPU else f"--device {device}", "train"):
        import torch

    raise_if_interrupted()
    keep_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)
    if device is Device.CPU:
        return "cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old drivers; the answer is what counts
        available = torch.cuda.is_available()
    if device is Device.CUDA and not available:
        raise UsageError("--device cuda needs a CUDA device that torch can use, found none; use --device cpu")
    return "cuda" if available else "cpu"


def announce_compilation(purpose: Literal["encoding", "searching", "decoding", "counting", "everything"]) -> None:
    """Say that the coder is about to be compiled, if so: the first run takes some seconds longer."""
    from trimix import coding

    every = (*coding.SEARCHING_KERNELS, *coding.DECODING_KERNELS)
    kernels = every if purpose == "everything" else getattr(coding, f"{purpose.upper()}_KERNELS")
    if not coding.compilation_is_cached(kernels):
        print("trimix: compiling the coder (first run)...", file=sys.stderr)
