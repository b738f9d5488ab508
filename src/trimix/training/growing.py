"""Wider networks that do what narrower ones did: training goes on from weights of a smaller ``gllmm-lite``.

::

                 inputs that were   new inputs
    old outputs  [     old        |     0      ]     what was computed is computed as before
    new outputs  [   at random    |  at random ]     and what is new looks on, until training lets it speak
"""

from collections.abc import Mapping

from trimix.errors import TrainingError
from trimix.models.config import GllmmLiteConfig
from trimix.models.gllmm_lite import GllmmLite
from trimix.shapes import Tensor

GROWING = (
    "transform_widths",
    "synthesis_widths",
    "hyper_analysis_width",
    "hyper_synthesis_widths",
    "head_widths",
    "context_channels",
    "lapped_channels",
)
"""Sizes that may grow. Any other change would move numbers to other places, or mean other latents."""

_FREE = {"lambda_minimum", "lambda_maximum", "lambda_ratio", "lambda_exponent"}
"""What weights are trained for next may be something else, MS-SSIM for one."""


def differs(before: GllmmLiteConfig, after: GllmmLiteConfig) -> bool:
    """Whether weights of one configuration are not simply those of the other."""
    return before.model_dump(exclude=_FREE) != after.model_dump(exclude=_FREE)


def grown(weights: Mapping[str, Tensor], before: GllmmLiteConfig, model: GllmmLite) -> dict[str, Tensor]:
    """Weights of a wider model that does exactly what the narrower one does.

    Args:
        weights: of the narrower model.
        before: its configuration.
        model: the wider one, as it was made: new channels start with its weights.

    Returns:
        The wider model's state.

    Raises:
        TrainingError: something else than ``GROWING`` differs, or gets smaller.

    >>> narrow, wide = GllmmLiteConfig(latent_channels=8), GllmmLiteConfig(latent_channels=8, head_widths=(300, 224))
    >>> state = grown(GllmmLite(narrow).state_dict(), narrow, GllmmLite(wide))
    >>> state["head.0.weight"].shape[0]
    300
    """
    for name in GllmmLiteConfig.model_fields:
        if name not in _FREE and name not in GROWING and getattr(before, name) != getattr(model.config, name):
            raise TrainingError(
                f"{name} must stay as it was, {getattr(before, name)}, found {getattr(model.config, name)}: only "
                f"{', '.join(GROWING)} may grow"
            )
    state = model.state_dict()
    if missing := sorted(weights.keys() - state.keys()):
        raise TrainingError(f"every layer must be there still, found no {missing[0]} in the wider model")
    for name, value in state.items():
        old = weights.get(name)
        if old is None:
            continue  # lapped filters start at zero
        if any(size < was for size, was in zip(value.shape, old.shape, strict=True)):
            raise TrainingError(
                f"{name} must not get smaller than {list(old.shape)}, found {list(value.shape)}; raise the width"
            )
        value = value.clone()
        value[: len(old)] = 0
        value[tuple(slice(size) for size in old.shape)] = old
        state[name] = value
    return state
