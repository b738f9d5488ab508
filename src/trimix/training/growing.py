"""Wider networks that do what narrower ones did: training goes on from weights of a smaller model.

::

                 inputs that were   new inputs
    old outputs  [     old        |     0      ]     what was computed is computed as before
    new outputs  [   at random    |  at random ]     and what is new looks on, until training lets it speak
"""

from collections.abc import Mapping

from trimix.architectures.compression_model import CompressionModel
from trimix.architectures.config import CompressionConfig
from trimix.errors import TrainingError
from trimix.shapes import Tensor

_FREE = {"lambda_minimum", "lambda_maximum", "lambda_ratio", "lambda_exponent"}
"""What weights are trained for next may be something else, MS-SSIM for one."""


def may_grow(before: CompressionConfig, after: CompressionConfig) -> bool:
    """Whether weights of one configuration are not simply those of the other, and its architecture can grow."""
    is_like = before.kind == after.kind and before.growing
    return bool(is_like) and before.model_dump(exclude=_FREE) != after.model_dump(exclude=_FREE)


def grown(weights: Mapping[str, Tensor], before: CompressionConfig, model: CompressionModel) -> dict[str, Tensor]:
    """The state of a wider model, as it was made, that does exactly what the narrower one does.

    Args:
        weights: of the narrower model.
        before: its configuration.
        model: the wider one: new channels start with its weights.

    Raises:
        TrainingError: something else than the configuration's ``growing`` sizes differs, or gets smaller.
    """
    growing, after = before.growing, model.config
    for name in type(after).model_fields:
        if name not in _FREE and name not in growing and getattr(before, name) != getattr(after, name):
            raise TrainingError(
                f"{name} must stay as it was, {getattr(before, name)}, found {getattr(after, name)}: only "
                f"{', '.join(growing)} may grow"
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
