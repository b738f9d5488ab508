import ctypes
import subprocess
import sys

import pytest

from trimix import allocator

PROGRAM = """
import resource, torch
from trimix.allocator import keep_freed_memory
torch.set_num_threads(1)
layers = torch.nn.Sequential(*(torch.nn.ReLU() for _ in range(3)))
x = torch.ones(10, 2**20)  # 40 MiB: as it is, glibc keeps no block of more than 32
def page_faults():
    layers(x), layers(x)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        layers(x)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
as_it_is = page_faults()
assert keep_freed_memory()
print(as_it_is, page_faults())
"""


@pytest.mark.skipif(not allocator.keep_freed_memory(), reason="needs glibc")
def test_large_blocks_are_not_asked_of_the_system_again():
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    as_it_is, kept = map(int, found.stdout.split())
    assert kept < as_it_is / 2


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert allocator.keep_freed_memory.__wrapped__() is False


def test_another_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator.keep_freed_memory.__wrapped__() is False
