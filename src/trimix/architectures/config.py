"""Configuration of the models: what a weights file says about its architecture."""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from trimix.entropy_models.layout import MixtureLayout, ScaleForm
from trimix.errors import ModelError
from trimix.probability import Family

Widths2 = tuple[PositiveInt, PositiveInt]
Widths4 = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]


def _each_once(families: tuple[Family, ...]) -> tuple[Family, ...]:
    if len(set(families)) < len(families):
        raise ValueError("families must differ; several components of one are its number of components")
    return families


def _by_name(family: object) -> object:
    # Weights files have the numbers; people write names.
    if not isinstance(family, str):
        return family
    names = [member.name.lower() for member in Family]
    if family not in names:
        raise ValueError(f"must be one of {', '.join(names)}, found {family!r}")
    return Family[family.upper()]


Families = Annotated[
    tuple[Annotated[Family, BeforeValidator(_by_name)], ...], Field(min_length=1), AfterValidator(_each_once)
]
LatentRounding = Literal["direct", "around_mean"]
ContextKind = Literal["checkerboard", "interlaced", "raster"]

MS_SSIM_LAMBDA_RATIO = 1200.0
"""Trade-offs for 1 - MS-SSIM over those for squared errors that give about the same rates (CompressAI's lists)."""
_GAUSSIAN_SCALE_MINIMUM = 0.11


class CompressionConfig(BaseModel, ABC):
    """What every model says."""

    growing: ClassVar[tuple[str, ...]] = ()
    """Sizes that may be larger than those of the weights that a run starts from."""
    pixels_at_once: ClassVar[int] = 2**22
    """Largest strip of a large picture: half a gigabyte for 128 channels at half the resolution."""
    hyper_prior_widths: ClassVar[tuple[int, ...]] = (3, 3, 3, 3)
    """Of the factorized prior."""
    has_hyper_medians: ClassVar[bool] = True
    """Whether hyper-latents are rounded around medians; otherwise as they are."""
    trains_on_noise: ClassVar[bool] = True
    """What stands for rounded latents in training, in g_s, context, h_s: noise, or rounding straight through. Bits are
    counted on latents with noise either way."""
    likelihood_minimum: ClassVar[float] = 0.0
    """A likelihood counts as at least this much in training; 0 for no bound."""
    has_context: ClassVar[bool] = True
    """Whether the entropy model looks at latents that are already coded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rounding: LatentRounding = Field(
        default="around_mean",
        description="whether latents are rounded as they are, or around the mean of their only component",
    )
    all_rates: bool = Field(
        default=False, description="learned gains of the latent's channels follow the quality; otherwise it is ignored"
    )
    rate_distortion_lambda: float = Field(default=0.0130, gt=0, description="trade-off of a model of one rate")
    lambda_minimum: float = Field(default=0.0003, gt=0, description="trade-off at quality 1 of a model of all rates")
    lambda_maximum: float = Field(default=0.2, gt=0, description="trade-off at quality 100 of a model of all rates")
    lambda_ratio: float | None = Field(
        default=None,
        gt=0,
        description="lambda over the one for squared errors that gives about the same rate: 1 for MSE, about 1200 for "
        "1 - MS-SSIM; first quantizer steps and the encoder's choice of symbols go by it; by default that of MS-SSIM "
        "for a lambda from 1 upwards",
    )
    lambda_exponent: float = Field(
        default=1.0,
        gt=0,
        description="where that ratio changes with the rate: lambda is lambda_ratio times that power of the one for "
        "squared errors; about 0.52 and 0.66 for SSIMULACRA2",
    )

    latent_channels: PositiveInt
    kind: str

    @property
    @abstractmethod
    def hyper_latent_channels(self) -> int:
        """Channels of the hyper-latent."""

    @property
    @abstractmethod
    def head_layout(self) -> MixtureLayout:
        """What the numbers are that the entropy model gives for a latent."""

    @property
    @abstractmethod
    def latent_halo(self) -> int:
        """Latent rows around a strip of a large picture that its transforms look at, or more."""

    @property
    def has_linear_path(self) -> bool:
        """Whether a linear transform stands beside g_a and g_s."""
        return self.kind == "gllmm-lite" or getattr(self, "linear_path", False)

    @property
    def stored_weight_bits(self) -> int:
        """Of a weight in a model file, of integer layers and large convolutions: 8 beside a linear path, 16 else.

        ``freeze`` prints what integers cost: 0.011 % more bits with 16 for `gllmm`, 0.012 % with 8.
        """
        return 8 if self.has_linear_path else 16

    @model_validator(mode="after")
    def _check_layout(self) -> "CompressionConfig":
        _ = self.head_layout  # refuses to round around several means
        return self


class GaussianConfig(CompressionConfig):
    """Gaussians with bounded scales, in training too."""

    likelihood_minimum: ClassVar[float] = 1e-9

    @property
    def latent_halo(self) -> int:
        """More than the receptive fields of g_a and g_s."""
        return 4

    @property
    def head_layout(self) -> MixtureLayout:
        """Gaussians: one, but where the configuration has ``components``."""
        zero_mean = getattr(self, "zero_mean", False)
        return MixtureLayout(
            (Family.GAUSSIAN,),
            getattr(self, "components", 1),
            scale_form=ScaleForm.BOUNDED,
            scale_minimum=_GAUSSIAN_SCALE_MINIMUM,
            zero_mean=zero_mean,
            around_mean=self.rounding == "around_mean" and not zero_mean,
        )

    @property
    def hyper_latent_channels(self) -> int:
        """N."""
        return getattr(self, "channels", self.latent_channels)


class HyperpriorConfig(GaussianConfig):
    """Mean and scale hyperprior (Minnen et al. 2018, "mbt2018-mean"), or scale only (Ballé et al. 2018)."""

    has_context: ClassVar[bool] = False
    kind: Literal["hyperprior"] = "hyperprior"
    channels: PositiveInt = Field(default=128, description="N")
    latent_channels: PositiveInt = Field(default=192, description="M")
    zero_mean: bool = Field(default=False, description="scale only: h_a sees |y|, ReLU (bmshj2018-hyperprior)")


class AutoregressiveConfig(GaussianConfig):
    """Hyperprior and masked context (Minnen et al. 2018, "mbt2018")."""

    kind: Literal["autoregressive"] = "autoregressive"
    channels: PositiveInt = Field(default=192, description="N")
    latent_channels: PositiveInt = Field(default=192, description="M")


class AttentionConfig(GaussianConfig):
    """Residual blocks, with attention or without, and masked context (Cheng et al. 2020).

    The paper has three Gaussians, rounded directly; weights that are common have one.
    """

    kind: Literal["attention"] = "attention"
    latent_channels: PositiveInt = Field(default=192, description="N, of all layers")
    attention: bool = Field(default=True, description="off: the paper's anchor")
    components: PositiveInt = 1
    head_widths: tuple[PositiveInt, ...] | None = Field(
        default=None, description="by default 10/3 N and 8/3 N for one component, 5 N twice for more (the paper's 640)"
    )

    @property
    def latent_halo(self) -> int:
        """More than the receptive fields of g_a and g_s."""
        return 12

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Widths of the head's hidden layers."""
        n = self.latent_channels
        if self.head_widths is not None:
            return self.head_widths
        return (10 * n // 3, 8 * n // 3) if self.components == 1 else (5 * n, 5 * n)


class MixtureConfig(CompressionConfig):
    """Mixtures of several families, and latents that training rounds straight through for all but their bits."""

    hyper_prior_widths: ClassVar[tuple[int, ...]] = (3, 3, 3)
    has_hyper_medians: ClassVar[bool] = False
    trains_on_noise: ClassVar[bool] = False
    rounding: LatentRounding = "direct"
    lapped_channels: int = Field(
        default=0,
        ge=0,
        description="of the linear path: first channels of the latent whose filters reach half a block into the "
        "neighbours; at most latent_channels",
    )
    families: Families = (Family.GAUSSIAN, Family.LAPLACIAN, Family.LOGISTIC)

    @model_validator(mode="after")
    def _check_lapped_channels(self) -> "MixtureConfig":
        if self.lapped_channels > self.latent_channels:
            raise ValueError(
                f"lapped_channels must be at most latent_channels, {self.latent_channels}, found {self.lapped_channels}"
            )
        return self


class GllmmConfig(MixtureConfig):
    """GLLMM (Fu et al. 2023), and every simpler entropy model and transform that the paper compares it with."""

    likelihood_minimum: ClassVar[float] = 1e-6
    kind: Literal["gllmm"] = "gllmm"
    latent_channels: PositiveInt = Field(
        default=128, description="M; the paper has one number for all layers, 128 or 256"
    )
    channels: PositiveInt | None = Field(
        default=None, description="N of g_a and g_s; by default M, others need a linear path"
    )
    linear_path: bool = Field(default=False, description="a 16x16 Karhunen-Loeve transform beside g_a and g_s (ours)")
    quality_factors: bool = Field(
        default=False, description="channels of g_a and g_s are scaled with the quality (ours)"
    )
    low_resolution_widths: Widths2 | None = Field(
        default=None,
        description="channels at 1/8 and 1/16 of networks that work there alone, in place of the paper's (ours)",
    )
    low_resolution_synthesis_widths: Widths2 | None = Field(
        default=None, description="of g_s, where they are not those of g_a"
    )
    low_resolution_blocks: Widths2 = Field(default=(3, 3), description="residual blocks at 1/8 and 1/16")
    low_resolution_synthesis_blocks: Widths2 | None = Field(
        default=None, description="of g_s, where they are not those of g_a"
    )
    narrow_hyper_channels: PositiveInt | None = Field(
        default=None,
        description="channels of the hyper-latent, of narrow hyper transforms as gllmm-lite's in place of the paper's",
    )
    side_channels: PositiveInt | None = Field(
        default=None, description="features from the hyper-latent; by default 2 M; others need narrow hyper transforms"
    )
    context: ContextKind = Field(default="raster", description="the paper's is raster")
    context_channels: PositiveInt | None = Field(default=None, description="features from the context; by default 2 M")
    stages: PositiveInt = Field(default=2, description="residual blocks of a module; the paper has two and three")
    concatenated: bool = Field(
        default=True, description="a shortcut around every module (CRM); off: plain residual blocks in its place"
    )
    attention: bool = True
    components: PositiveInt = Field(default=3, description="of each family")
    two_level: bool = Field(default=True, description="a softmax inside each family and one over the families")
    head_widths: tuple[PositiveInt, ...] = (640, 1280)
    scale_minimum: float = Field(
        default=2.0**-4, gt=0, lt=1, description="added to |scale|; by default the integer coder's smallest"
    )

    @property
    def hyper_latent_channels(self) -> int:
        """M, or what the narrow hyper transforms have."""
        return self.narrow_hyper_channels or self.latent_channels

    @property
    def latent_halo(self) -> int:
        """More than the receptive fields of g_a and g_s."""
        if self.low_resolution_widths is None:
            return 8 + 4 * self.stages
        pairs = (self.low_resolution_blocks, self.low_resolution_synthesis_blocks or self.low_resolution_blocks)
        eighth, sixteenth = (max(blocks) for blocks in zip(*pairs, strict=True))
        return eighth + 2 * sixteenth + 3

    @property
    def head_layout(self) -> MixtureLayout:
        """Families and components as configured."""
        return MixtureLayout(
            self.families,
            self.components,
            self.two_level,
            ScaleForm.ABSOLUTE,
            self.scale_minimum,
            around_mean=self.rounding == "around_mean",
        )

    @model_validator(mode="after")
    def _what_needs_a_linear_path_has_one(self) -> "GllmmConfig":
        n, m = self.channels or self.latent_channels, self.latent_channels
        if not self.linear_path and (n != m or self.lapped_channels):
            raise ValueError(
                f"channels must be latent_channels, {m}, and lapped_channels 0 without a linear path, found {n} and "
                f"{self.lapped_channels}; set linear_path = true"
            )
        if self.low_resolution_widths is not None and not self.linear_path:
            raise ValueError("low_resolution_widths need a linear path, found none; set linear_path = true")
        if self.side_channels is not None and self.narrow_hyper_channels is None:
            raise ValueError(
                f"side_channels must be 2 M without narrow_hyper_channels, found {self.side_channels}; give both"
            )
        for name in ("linear_path", "quality_factors"):
            if getattr(self, name) and not self.all_rates:
                raise ValueError(f"{name} must be false in a model of one rate, found true; set all_rates = true")
        return self


class GllmmLiteConfig(MixtureConfig):
    """Architecture of ``gllmm-lite``; the defaults are the released model's."""

    growing: ClassVar[tuple[str, ...]] = (
        "transform_widths",
        "synthesis_widths",
        "hyper_analysis_width",
        "hyper_synthesis_widths",
        "head_widths",
        "context_channels",
        "lapped_channels",
    )
    pixels_at_once: ClassVar[int] = 2**24
    all_rates: Literal[True] = True
    kind: Literal["gllmm-lite"] = "gllmm-lite"
    latent_channels: int = Field(default=304, ge=1, le=4096)
    side_channels: PositiveInt = 384
    context_channels: PositiveInt = 192
    transform_widths: Widths4 = (24, 48, 80, 160)
    synthesis_widths: Widths4 | None = Field(default=None, description="of g_s, where they are not those of g_a")
    hyper_channels: PositiveInt = 64
    hyper_analysis_width: PositiveInt = 80
    hyper_synthesis_widths: Widths2 = (64, 96)
    head_widths: tuple[PositiveInt, ...] = (224, 224)
    context: ContextKind = Field(
        default="checkerboard",
        description="order in which latents are coded: two passes, five, or wavefronts, as many as width + 3 * height",
    )
    components: PositiveInt = 1
    lambda_ratio: float | None = Field(
        default=1.0, gt=0, description="as of the other models; by default that of squared errors"
    )

    @property
    def hyper_latent_channels(self) -> int:
        """As configured."""
        return self.hyper_channels

    @property
    def head_layout(self) -> MixtureLayout:
        """Families and components as configured; even a single component has a logit."""
        return MixtureLayout(
            self.families, self.components, around_mean=self.rounding == "around_mean", has_lone_logit=True
        )

    @property
    def latent_halo(self) -> int:
        """More than the receptive fields of g_a and g_s, which reach 9."""
        return 12


def _kind(value: object) -> str:
    # The first configurations were those of gllmm-lite, and needed not say so.
    if isinstance(value, dict):
        return str(value.get("kind", "gllmm-lite"))
    return str(getattr(value, "kind", ""))


ModelConfig = Annotated[
    Annotated[GllmmLiteConfig, Tag("gllmm-lite")]
    | Annotated[HyperpriorConfig, Tag("hyperprior")]
    | Annotated[AutoregressiveConfig, Tag("autoregressive")]
    | Annotated[AttentionConfig, Tag("attention")]
    | Annotated[GllmmConfig, Tag("gllmm")],
    Discriminator(_kind),
]
"""The configuration of any model, told apart by ``kind``; without one it is gllmm-lite's."""

_ANY: TypeAdapter[CompressionConfig] = TypeAdapter(ModelConfig)


def read_configuration(text: str) -> CompressionConfig:
    """The configuration that stands in a model file.

    Raises:
        ModelError: it is none of an architecture that is known here.
    """
    try:
        return _ANY.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ModelError(
            f"the configuration must be one of an architecture, found {place!r}: {first['msg']}"
        ) from error
