"""How many threads there are, and who has them."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

from threadpoolctl import threadpool_limits


def thread_count() -> int:
    """What ``OMP_NUM_THREADS`` says, or the processors that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def parallel_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that work beside each other; products of matrices take one each inside, or all would wait for all."""
    with threadpool_limits(1, "blas") if threads > 1 else nullcontext(), ThreadPoolExecutor(threads) as pool:
        yield pool
