import ctypes
import subprocess
import sys

import pytest

from trimix import allocator

PROGRAM = """
import resource, sys, torch
from trimix.allocator import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "kept":
    assert keep_freed_memory()
layers = torch.nn.Sequential(*(torch.nn.Conv2d(32, 32, 1) for _ in range(3)))
x = torch.ones(1, 32, 768, 768)  # 72 MiB
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
with torch.no_grad():
    layers(x), layers(x)
    before = faults()
    for _ in range(6):
        layers(x)
print(faults() - before)
"""


def page_faults(mode):
    found = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
    return int(found.stdout)


@pytest.mark.skipif(not allocator.keep_freed_memory(), reason="needs glibc")
def test_large_blocks_are_not_asked_of_the_system_again():
    assert page_faults("kept") < page_faults("as it is") / 2


RESIDENT = """
from trimix.allocator import give_back_freed_memory, keep_freed_memory
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
keep_freed_memory()
blocks = [bytearray(2**20) for _ in range(100)]
del blocks
before = resident()
assert give_back_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(not allocator.keep_freed_memory(), reason="needs glibc")
def test_what_was_kept_is_given_back():
    found = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True)
    assert int(found.stdout) > 80 * 2**20


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert allocator.keep_freed_memory.__wrapped__() is False
    assert allocator.give_back_freed_memory() is False


def test_another_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator.keep_freed_memory.__wrapped__() is False
    assert allocator.give_back_freed_memory() is False
