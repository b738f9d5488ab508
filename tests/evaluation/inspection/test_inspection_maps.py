"""Maps: nothing is lost where positions are pooled, and colours are those of the legend."""

import numpy as np
import pytest
from inspection_examples import KINDS, inspection_of

from trimix.evaluation.drawing import heat_colours, upper_end
from trimix.evaluation.inspection.maps import maps_of, mixed_colours, share_colour, triangle_colours, triangle_place


@pytest.fixture(scope="module")
def inspection():
    return inspection_of(KINDS[0])[2]


@pytest.mark.parametrize("factor", [1, 2, 3, 100])
def test_pooling_keeps_every_bit_and_every_share(inspection, factor):
    found = maps_of(inspection, factor)
    rows, columns = inspection.statistics.bits.shape
    assert found.bits.shape == (-(-rows // factor), -(-columns // factor))
    assert found.stride == 16 * factor
    assert found.bits.sum() == pytest.approx(inspection.latent_bits)
    for shares, whole in (
        (found.weight_shares, inspection.weight_shares),
        (found.responsibility_shares, inspection.responsibility_shares),
    ):
        assert shares.sum(axis=2) == pytest.approx(np.ones_like(found.bits))
        assert (shares * found.bits[:, :, None]).sum(axis=(0, 1)) / found.bits.sum() == pytest.approx(whole)
    low, high = inspection.statistics.standard_deviation.min(), inspection.statistics.standard_deviation.max()
    assert (low - 1e-9 <= found.standard_deviation).all() and (found.standard_deviation <= high + 1e-9).all()


def test_a_pure_share_has_its_own_colour():
    for index in range(3):
        red, green, blue = mixed_colours(np.eye(3)[index]).tolist()
        assert f"#{red:02x}{green:02x}{blue:02x}" == share_colour(index)


@pytest.mark.parametrize("shares", [(0.2, 0.3, 0.5), (0.8, 0.1, 0.1), (1 / 3, 1 / 3, 1 / 3)])
def test_the_legend_has_the_colour_of_a_mixture_at_its_place(shares):
    triangle = triangle_colours(400)
    left, top = triangle_place(np.array(shares))
    found = triangle[int(top * triangle.shape[0]), int(left * triangle.shape[1])]
    assert found[3] == 255
    assert np.abs(found[:3].astype(int) - mixed_colours(np.array(shares))).max() <= 5
    assert triangle[0, 0, 3] == 0


def test_heat_is_bounded_and_a_scale_is_never_empty():
    values = np.array([[0.0, 1.0], [2.0, 50.0]])
    found = heat_colours(values, 2.0, "inferno")
    assert (found[1, 0] == found[1, 1]).all()
    assert (found[0, 0] != found[0, 1]).any()
    assert upper_end(np.zeros((2, 2))) > 0
