"""How many threads there are, and who has them."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from threading import current_thread, main_thread
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

_Result = TypeVar("_Result")


def usable_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count() -> int:
    """What ``OMP_NUM_THREADS`` says, or the processors that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return usable_cores()


def in_threads(threads: int, work: Callable[..., _Result], *arguments: Sequence[Any]) -> Iterator[_Result]:
    """Results of ``work`` for every set of arguments, in order; what has not begun when one fails is left undone.

    >>> list(in_threads(2, max, [1, 5], [3, 4]))
    [3, 5]
    """
    if threads == 1 or len(arguments[0]) == 1:
        yield from map(work, *arguments)
        return
    pool = ThreadPoolExecutor(threads)
    contexts = [copy_context() for _ in arguments[0]]  # a time limit holds in all of them
    try:
        yield from pool.map(lambda context, *given: context.run(work, *given), contexts, *arguments)
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def single_threaded_products() -> Iterator[None]:
    """Inside, NumPy multiplies matrices on one thread, if this is the main one: the number is one for all threads.

    Products of the integer path are so small that more threads only wait for each other, at full load: a picture took
    half as much processor time again at effort 2, and no less time by the clock.
    """
    if current_thread() is not main_thread():
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
