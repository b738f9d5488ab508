"""Products of integers are exact, whatever computes them and at the ends of all ranges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimix.entropy_models import integer_product
from trimix.entropy_models.integer_product import IntegerProduct

LARGEST = 2**15 - 1


@pytest.fixture(scope="module", params=["float64", "plain loops", "256 bits", "512 bits"])
def way(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "float64":
            patch.setattr(integer_product, "is_native", lambda: False)
        else:
            if not integer_product.is_native():
                pytest.skip("built without a C compiler")
            bits = 0 if request.param == "plain loops" else int(request.param.split()[0])
            patch.setattr(integer_product, "WIDEST_REGISTERS", bits)
        yield request.param


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 14),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 90),
    bits=st.integers(1, 15),
)
def test_products_are_those_of_python_integers(way, seed, count, inputs, outputs, bits):
    random = np.random.default_rng(seed)
    weight = random.integers(-(2**bits) + 1, 2**bits, (outputs, inputs)).astype(np.int16)
    weight[:, random.random(inputs) < 0.3] = 0
    weight[:, random.random(inputs) < 0.3] &= -256
    rows = random.integers(-LARGEST, LARGEST + 1, (count, inputs))
    found = IntegerProduct(weight, LARGEST)(rows)
    assert found.astype(object).tolist() == (rows.astype(object) @ weight.T.astype(object)).tolist()


@pytest.mark.parametrize("inputs", [1, 511, 512, 513, 2000])
def test_sums_of_the_largest_numbers_fit(way, inputs):
    """The signs of the weights are those of the inputs: nothing cancels."""
    for weight in (LARGEST, -LARGEST, -LARGEST - 1, 127 * 256, 128, -128, 255):
        found = IntegerProduct(np.full((3, inputs), weight, np.int16), LARGEST)
        for x in (LARGEST, -LARGEST):
            assert (found(np.full((2, inputs), x)) == inputs * weight * x).all()


def test_inputs_of_more_than_16_bits_are_not_cut(way):
    weight = np.array([[3, -5]], np.int16)
    assert IntegerProduct(weight, 2**24)(np.array([[2**24, 2**20]])).tolist() == [[3 * 2**24 - 5 * 2**20]]


def test_registers_are_used_where_they_are(way):
    product = IntegerProduct(np.ones((1, 2), np.int16), 1)
    assert product._in_c == (way != "float64")


def test_a_part_of_the_inputs_without_weights_takes_no_time():
    if not integer_product.is_native():
        pytest.skip("built without a C compiler")
    weight = np.zeros((16, 4000), np.int16)
    assert IntegerProduct(weight, 1)._parts[:, 1].sum() == 1
    weight[:, [0, 3999]] = 256
    assert IntegerProduct(weight, 1)._parts.tolist() == [[0, 1], [1999, 1]]
    assert (IntegerProduct(weight, 1)(np.ones((2, 4000), int)) == 512).all()
