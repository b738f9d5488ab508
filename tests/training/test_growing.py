"""A wider model does exactly what the narrower one did, and everything new can be trained."""

import pytest
import torch

from tiny_models import INTERLACED, TINY, calibration_pictures, tiny_model
from trimix.architectures.building import build
from trimix.errors import TrainingError
from trimix.training.growing import grown

QUALITY = torch.tensor([30.0, 70.0])
WIDER = {
    "transform_widths": (4, 6, 10, 12),
    "synthesis_widths": (5, 4, 8, 9),
    "hyper_analysis_width": 9,
    "hyper_synthesis_widths": (6, 7),
    "head_widths": (14, 15),
    "context_channels": 11,
    "lapped_channels": 5,
}


def output_of(model):
    with torch.no_grad():
        return model(calibration_pictures(), QUALITY, rounding="round")


def wider(config, **sizes):
    torch.manual_seed(3)
    model = build(config.model_copy(update=sizes))
    model.load_state_dict(grown(tiny_model(config).state_dict(), config, model))
    return model.eval()


@pytest.mark.parametrize("config", [TINY, INTERLACED], ids=["checkerboard", "interlaced"])
@pytest.mark.parametrize("sizes", [*({name: size} for name, size in WIDER.items()), WIDER], ids=[*WIDER, "all"])
def test_it_does_what_it_did(config, sizes):
    before, after = output_of(tiny_model(config)), output_of(wider(config, **sizes))
    for one, other in zip(vars(before).values(), vars(after).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_all_sizes_that_may_grow_are_tried_here():
    assert set(WIDER) == set(INTERLACED.growing)


def test_everything_new_is_trained():
    model = wider(INTERLACED, **WIDER).train()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(3):
        output = model(calibration_pictures(), QUALITY, generator=torch.Generator().manual_seed(step))
        loss = output.latent_bits.sum() + output.reconstruction.square().sum() * 1e3
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, size in tiny_model(INTERLACED).state_dict().items():
        new = torch.ones_like(before[name], dtype=torch.bool)
        new[tuple(slice(one) for one in size.shape)] = False
        moved = dict(model.named_parameters())[name].detach() != before[name]
        if new.any() and name != "hyper_prior.gates.3":
            assert moved[new].any(), name


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"latent_channels": 9}, "latent_channels must stay as it was, 8, found 9"),
        ({"context": "interlaced"}, "context must stay as it was, checkerboard, found interlaced"),
        ({"head_widths": (11, 12)}, r"head.0.weight must not get smaller than \[12, 24, 1, 1\], found \[11"),
    ],
)
def test_other_changes_are_refused(sizes, message):
    with pytest.raises(TrainingError, match=message):
        wider(TINY, **sizes)
