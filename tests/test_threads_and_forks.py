"""One codec for all threads, and a forked process that can go on using it."""

import os
import subprocess
import sys

import pytest

USE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
import numpy as np
from trimix.codec import Codec
from trimix.images import Picture

picture = Picture(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))

def use(codec):
    return codec.decode(codec.encode(picture, 50)).pixels.tobytes()
"""
COLD = """
barrier = Barrier(8)

def begin(_):
    barrier.wait()
    return Codec.load(sys.argv[1])

with ThreadPoolExecutor(8) as pool:
    codecs = list(pool.map(begin, range(8)))
    assert len(set(map(id, codecs))) == 1
    assert len(set(pool.map(use, codecs))) == 1
"""
FORKED = """
import multiprocessing, warnings
warnings.simplefilter("ignore")  # Python's own, of threads and forks
codec = Codec.load(sys.argv[1])
expected = use(codec)

def child(queue):
    queue.put(use(codec) == expected and use(Codec.load(sys.argv[1])) == expected)

for kind in ("fork", "spawn"):
    if __name__ == "__main__":
        context = multiprocessing.get_context(kind)
        queue = context.Queue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        assert queue.get(timeout=60)
        process.join(60)
        assert process.exitcode == 0
assert use(codec) == expected
"""
AWAITED = """
import asyncio

async def main():
    codec = Codec.load(sys.argv[1])
    return await asyncio.gather(*(asyncio.to_thread(use, codec) for _ in range(4)))

assert len(set(asyncio.run(main()))) == 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("code", [COLD, FORKED, AWAITED], ids=["cold threads", "fork and spawn", "asyncio"])
def test_two_threads_of_networks(code, model, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(USE + code)
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, script, model], env=environment, check=True, timeout=100)
