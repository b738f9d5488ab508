"""What the numbers are that an entropy model gives for a latent: one layout for training and for integers."""

from dataclasses import dataclass
from enum import Enum

from trimix.coding import Family

LOG2_SCALE_MINIMUM = -4.0
"""log2 of the smallest scale that the integer coder knows."""
LOG2_SCALE_MAXIMUM = 12.0 - 1 / 16
"""log2 of the largest scale that the integer coder knows."""
LINEAR_SCALE_STEPS = 4096
"""Steps of an integer scale that is not a logarithm."""


class ScaleForm(Enum):
    """How a number becomes a scale; what the integer path has for a number stands in brackets."""

    LOG2 = "log2"
    """2 to its power, clamped to the scales that the integer coder knows [index of the coder's table]."""
    BOUNDED = "bounded"
    """The number, or the minimum where that is larger [in steps of 1/4096]."""
    ABSOLUTE = "absolute"
    """Its magnitude plus the minimum [in steps of 1/4096]."""


@dataclass(frozen=True)
class MixtureLayout:
    """What the numbers are that are given for every latent.

    Channels are ordered (family logits | component logits | means | scales) x component x latent channel; components
    of one family stand together. What a layout does not need is absent: logits of a single component, family logits
    unless the softmax has two levels, means of a zero-mean model.

    Args:
        families: the families of the mixture, each once.
        components: K, components of each family.
        two_level: a softmax inside each family and one over the families, which then have logits too (Fu et al.
            2023); otherwise one softmax over all. Where there is one family, or one component of each, these are the
            same, and there are no logits but those of the components.
        scale_minimum: smallest scale, in steps of the quantizer; see ``ScaleForm``.
        zero_mean: means are zero and not given.
        around_mean: latents are rounded around the mean of their only component; otherwise as they are.
        has_lone_logit: a single component has a logit, too, though it says nothing.

    Raises:
        ValueError: no family or component, the scale's bound out of its range, or several means to round around.
    """

    families: tuple[Family, ...]
    components: int = 1
    two_level: bool = False
    scale_form: ScaleForm = ScaleForm.LOG2
    scale_minimum: float = 2.0**LOG2_SCALE_MINIMUM
    zero_mean: bool = False
    around_mean: bool = False
    has_lone_logit: bool = False

    def __post_init__(self) -> None:
        """Check that there is a mixture and that its bounds make sense."""
        if not self.families or self.components < 1 or len(set(self.families)) < len(self.families):
            raise ValueError(
                f"a mixture must have at least one family, each once, of one component, found {len(self.families)} "
                f"families of {self.components} components: give both"
            )
        if not 0 < self.scale_minimum < 2.0**LOG2_SCALE_MAXIMUM:
            raise ValueError(
                f"scales must have a minimum in (0, {2.0**LOG2_SCALE_MAXIMUM:g}), found {self.scale_minimum:g}: "
                "correct it"
            )
        if self.around_mean and (self.count > 1 or self.zero_mean):
            raise ValueError(
                f"rounding around the mean needs a single component with a mean, found {self.count}: "
                'set rounding = "direct"'
            )

    @property
    def count(self) -> int:
        """Components of all families."""
        return len(self.families) * self.components

    @property
    def component_families(self) -> tuple[Family, ...]:
        """The family of every component."""
        return tuple(family for family in self.families for _ in range(self.components))

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Family logits, component logits, means and scales of one latent; 0 for what is absent."""
        several = len(self.families) > 1 and self.components > 1
        return (
            len(self.families) if self.two_level and several else 0,
            self.count if self.has_weights else 0,
            0 if self.zero_mean else self.count,
            self.count,
        )

    @property
    def has_weights(self) -> bool:
        """Whether components have logits."""
        return self.count > 1 or self.has_lone_logit

    @property
    def numbers(self) -> int:
        """Numbers for one latent."""
        return sum(self.sizes)

    @property
    def integer_scale_minimum(self) -> int:
        """The smallest scale in steps of 1/4096."""
        return round(self.scale_minimum * LINEAR_SCALE_STEPS)
