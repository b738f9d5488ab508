import doctest

import numpy as np
import pytest
from coding_examples import drawn_symbols, random_parameters

import trimix.coding
from trimix.coding import mixture_cdf, range_coder


@pytest.mark.parametrize("module", [mixture_cdf, range_coder])
def test_the_examples_of_the_docstrings_run(module):
    generator = np.random.default_rng(0)
    parameters = random_parameters(generator, 10, 3)
    names = {name: getattr(trimix.coding, name) for name in trimix.coding.__all__}
    names |= {"parameters": parameters, "symbols": drawn_symbols(generator, parameters)}
    result = doctest.testmod(module, extraglobs=names)
    assert result.failed == 0 and result.attempted > 0
