from decimal import Decimal, getcontext

import torch
from hypothesis import given
from hypothesis import strategies as st

from trimix.entropy_models.integer_mixture import exponential_table, integer_softmax


def test_the_exponential_table_is_two_to_the_power_rounded_down():
    getcontext().prec = 60
    for index, value in enumerate(exponential_table().tolist()):
        assert value == int(Decimal(2) ** (24 - Decimal(index) / 256))


@given(st.lists(st.integers(-32767, 32767), min_size=1, max_size=9))
def test_weights_sum_exactly_and_keep_the_order(logits):
    weights = integer_softmax(torch.tensor(logits).view(1, -1, 1)).flatten().tolist()
    assert sum(weights) == 2**16
    assert min(weights) >= 0
    assert weights.index(max(weights)) == logits.index(max(logits))
    ordered = [w for _, w in sorted(zip(logits, weights, strict=True))]
    assert ordered == sorted(ordered)


@given(st.lists(st.integers(-2000, 2000), min_size=1, max_size=9))
def test_weights_follow_the_real_softmax(logits):
    weights = integer_softmax(torch.tensor(logits).view(1, -1, 1)).flatten().double() / 2**16
    real = torch.softmax(torch.tensor(logits).double() * (torch.log(torch.tensor(2.0)).item() / 256), dim=0)
    assert (weights - real).abs().max() <= len(logits) / 2**16 + 1e-6


def test_adding_a_constant_to_all_logits_changes_nothing():
    logits = torch.randint(-5000, 5000, (4, 6, 3), generator=torch.Generator().manual_seed(0))
    assert torch.equal(integer_softmax(logits), integer_softmax(logits + 777))
