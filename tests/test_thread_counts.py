"""Products on one thread while pictures are coded, and the program's own number again afterwards."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tiny_models import tiny_frozen
from trimix.codec import Codec
from trimix.images import Picture
from trimix.threads import single_threaded_products

PICTURE = Picture(np.zeros((40, 56, 3), np.uint8))


def counts() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, "blas"):
        if counts() != {2}:
            pytest.skip("this NumPy has no threads to set")
        yield


def test_products_have_one_thread_inside_and_what_they_had_afterwards():
    codec = Codec(tiny_frozen())
    seen = []
    analyze = codec.latents.analyze
    codec.latents.analyze = lambda *given: (seen.append(counts()), analyze(*given))[1]
    codec.decode(codec.encode(PICTURE, 50, 1))
    assert seen == [{1}]
    assert counts() == {2}


def test_other_threads_leave_the_number_alone():
    with ThreadPoolExecutor(1) as pool, single_threaded_products():
        pool.submit(single_threaded_products().__enter__).result()
        assert counts() == {1}
    assert counts() == {2}


def test_an_error_puts_it_back():
    with pytest.raises(KeyError), single_threaded_products():
        raise KeyError
    assert counts() == {2}
