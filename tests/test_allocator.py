import ctypes
import resource
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
x = torch.ones(2**24)  # 64 MiB
def work():
    x + 1
torch.ones(2**26)  # a hole with room for all that comes
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode):
    found = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
    return int(found.stdout)


@pytest.mark.skipif(not allocator.keep_freed_memory(), reason="needs glibc")
def test_large_blocks_are_not_asked_of_the_system_again():
    pages = 2**26 // resource.getpagesize()
    assert page_faults("kept") < pages / 8


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert allocator.keep_freed_memory.__wrapped__() is False


def test_another_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator.keep_freed_memory.__wrapped__() is False
