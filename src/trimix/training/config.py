"""Configuration of a training run, read from TOML; unknown keys are refused."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from trimix.architectures.config import GllmmLiteConfig, ModelConfig
from trimix.distortion import Distortion, DistortionKind
from trimix.errors import ConfigurationError
from trimix.training.recipes import Recipe, read_recipe

SourceEntropyUnit = Literal["bits_per_pixel", "nats_per_dimension", "unit_range"]
LinearPathStart = Literal["karhunen_loeve", "random", "zero"]
SourceEntropyStrength = Literal["aligned", "stronger", "weaker"]

_SHOWN_CHARACTERS = 80
_SSIMULACRA2_LAMBDAS = (0.001, 1.0)
# Of MS-SSIM 161 pixels must fit in, of SSIMULACRA2 a coarsest scale whose windows are not mostly cut off.
_SMALLEST_PATCH_SIZES: dict[DistortionKind, int] = {"ms-ssim": 192, "ssimulacra2": 192}


class _Section(BaseModel):
    # The JSON in a checkpoint has no infinities.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _without_nul(path: Path | str | None) -> Path | str | None:
    if "\0" in str(path):
        raise ValueError(f"it must be a path, found one with a NUL in it: {str(path)!r}")
    return path


_Path = Annotated[Path, AfterValidator(_without_nul)]


class DataConfig(_Section):
    """Where pictures come from and how patches are cut from them."""

    training: tuple[_Path, ...] = Field(min_length=1, description="folders or tars of pictures")
    validation: tuple[_Path, ...] = ()
    scale_minimum: float = Field(default=0.5, gt=0, le=1, description="smallest random scale of a patch")
    scaled_share: float = Field(default=0.5, ge=0, le=1, description="share of patches that are scaled down")
    drawn_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of patches that are drawn instead: ramps, flat colours, text, line art, charts, interfaces, "
        "pixel art",
    )
    grey_share: float = Field(
        default=0.0, ge=0, le=1, description="share of the photographs' patches that are turned grey, R = G = B"
    )
    memory_gibibytes: PositiveFloat = Field(
        default=4.0,
        description="of decoded pictures, on all devices together; a larger set is read and decoded anew all the time",
    )
    patches_per_picture: PositiveInt = Field(
        default=8, description="cut from a picture that does not stay in memory, on average, before another is decoded"
    )
    workers: NonNegativeInt = Field(default=2, description="threads that decode ahead what does not stay in memory")


class PhaseConfig(_Section):
    """One phase of training; phases follow one another with the same optimiser."""

    name: str
    steps: PositiveInt
    batch_size: PositiveInt = Field(default=8, description="pictures of a step, on all devices together")
    accumulation: PositiveInt = Field(
        default=1, description="equal parts that a device's share of a batch is worked through in"
    )
    patch_size: PositiveInt = Field(default=128, multiple_of=64, description="pixels a side")
    learning_rate: PositiveFloat = 5e-4
    learning_rate_final: float = Field(default=0.0, ge=0, description="reached at the end of a decaying phase")
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warm_up_steps: NonNegativeInt = 0
    linear_only: bool = Field(default=False, description="leave the learned branches of the transforms out")
    rounding: Literal["noise", "round", "chosen"] = Field(
        default="noise",
        description="chosen: latents as the encoder chooses them at effort 2; of a linear path, with a fixed encoder",
    )
    encoder: Literal["trained", "fixed"] = "trained"
    precision: Literal["32-true", "bf16-mixed"] = Field(
        default="32-true",
        description="bf16-mixed: transforms in bfloat16, where that is fast: not on a CPU without AVX-512",
    )

    @model_validator(mode="after")
    def _parts_are_equal(self) -> "PhaseConfig":
        if self.batch_size % self.accumulation:
            raise ValueError(f"accumulation must divide batch_size, found {self.accumulation} and {self.batch_size}")
        return self

    def learning_rate_at(self, step: int) -> float:
        """After a warm-up constant, or linearly or by a cosine to the final one at the end of the phase.

        A formula of the step of the phase, from 0, so that a run that goes on needs no memory of it.

        >>> phase = PhaseConfig(name="all", steps=8, learning_rate=1e-3, schedule="linear", warm_up_steps=4)
        >>> [round(phase.learning_rate_at(step), 6) for step in (0, 3, 4, 6, 8)]
        [0.00025, 0.001, 0.001, 0.0005, 0.0]
        """
        if step < self.warm_up_steps:
            return self.learning_rate * (step + 1) / self.warm_up_steps
        done = (step - self.warm_up_steps) / max(1, self.steps - self.warm_up_steps)
        falling = self.learning_rate - self.learning_rate_final
        if self.schedule == "linear":
            return self.learning_rate - falling * done
        if self.schedule == "cosine":
            return self.learning_rate_final + falling * 0.5 * (1 + math.cos(math.pi * done))
        return self.learning_rate


class SoapConfig(_Section):
    """SOAP of matrices; all else is Adam's, with ``second_moment_decay``."""

    vector_ratio: PositiveFloat = Field(
        default=0.67, description="learning rate of Adam's part over that of the matrices, which is the phase's"
    )
    decay: float = Field(default=0.95, gt=0, lt=1, description="of both moments and of the factors")
    basis_every_steps: PositiveInt = Field(default=10, description="how often eigenbases are renewed")
    largest_side: PositiveInt = Field(
        default=1024, description="rows or columns of which there are more keep their standard basis"
    )
    half_products: bool = Field(default=False, description="products with bases in bfloat16, where that is fast")


class OptimizerConfig(_Section):
    """Optimiser, clipping and averaging."""

    kind: Literal["adam", "soap"] = Field(
        default="adam", description="soap: Adam in the eigenbasis of Shampoo's factors, for matrices"
    )
    soap: SoapConfig = SoapConfig()
    change_limit: PositiveFloat | None = Field(
        default=None,
        description="largest change of a matrix in one step, over the root mean square of its singular values; 0.1 at "
        "high rates, so that many layers cannot gain at once",
    )
    linear_path_ratio: PositiveFloat = Field(
        default=0.1, description="learning rate of the Karhunen-Loeve path over Adam's of the others"
    )
    clip_norm: PositiveFloat = 1.0
    second_moment_decay: float = Field(
        default=0.999,
        gt=0,
        lt=1,
        description="Adam's beta2; at high rates 0.99, so that a rare picture cannot throw the weights far",
    )
    average_decay: float = Field(default=0.999, ge=0, lt=1, description="exponential moving average of weights")
    compile: Literal["off", "auto", "on"] = Field(
        default="off", description="torch.compile of the transforms; auto: on CUDA devices"
    )


class GuardConfig(_Section):
    """What is done where the loss explodes: the run goes back to an earlier state, and on with lower learning rates."""

    enabled: bool = True
    every_steps: PositiveInt = Field(
        default=100, description="how often a state is kept; it is gone back to once so many more went well"
    )
    threshold: PositiveFloat = Field(
        default=5.0, description="a step is wild whose loss is so many times the usual one away from it"
    )
    gradient_threshold: PositiveFloat = Field(
        default=50.0, description="or whose gradient norm is so many times the usual one"
    )
    rate_factor: float = Field(
        default=0.7, gt=0, le=1, description="of all learning rates, from every explosion to the end of the run"
    )
    maximum: int = Field(default=8, ge=0, le=100, description="explosions of a run; one more ends it")


class ObjectiveConfig(_Section):
    """R + lambda * D; in a model of all rates with a random quality, and its lambda, for every picture."""

    distortion: DistortionKind = Field(
        default="mse",
        description="mse: D = 255^2 * MSE, lambda of the model about 0.0003 .. 0.2; ms-ssim: D = 1 - MS-SSIM, lambda "
        "about 1200 times as large (12, 40, 80, 120 in Fu et al. 2023): set the model's rate_distortion_lambda, or "
        "lambda_minimum and lambda_maximum, and a patch_size of at least 192; weighted-mse: as mse, in Y, Cb and Cr; "
        "ssimulacra2: D = 100 - score + squared_error_weight * root of weighted-mse, lambda about 0.0024 .. 0.18, "
        "patch_size as for ms-ssim",
    )
    luma_chroma_weights: tuple[PositiveFloat, NonNegativeFloat, NonNegativeFloat] = Field(
        default=(6.0, 1.0, 1.0), description="of the squared errors of Y, Cb and Cr; only their ratios count"
    )
    squared_error_weight: NonNegativeFloat = Field(
        default=1.0,
        description="with ssimulacra2: points for each step of 8 bits by which values are off, root mean square",
    )
    butteraugli_weight: NonNegativeFloat = Field(
        default=0.0,
        description="points for each unit of Butteraugli (3-norm), added to any D; of every other picture of a batch, "
        "whose parts count twice",
    )
    balance: float = Field(
        default=0.45,
        ge=0,
        le=1,
        description="a picture's loss is divided by (lambda / lambda_0)^balance, so that rates count by ratio; "
        "lambda_0 is 0.016 for mse and weighted-mse, 20 for ms-ssim, 0.034 for ssimulacra2",
    )

    @property
    def measure(self) -> Distortion:
        """D."""
        return Distortion(self.distortion, self.luma_chroma_weights, self.squared_error_weight)


class RegularizerConfig(_Section):
    """The information-theoretic regularizer: R + lambda D - alpha H_q(X | X_hat), q trained beside the model.

    Either alpha or rho is given. rho = |alpha dH/dx_hat| / |lambda dD/dx_hat| (means of norms); where it is given,
    alpha follows in every step.
    """

    alpha: float | None = Field(default=None, ge=0, description="weight of the source entropy, in its unit")
    rho: float | None = Field(default=None, ge=0, lt=1, description="norm of its gradient over that of the distortion")
    unit: SourceEntropyUnit = Field(
        default="bits_per_pixel",
        description="of the entropy: bits_per_pixel and nats_per_dimension on the 8-bit grid; unit_range: bits per "
        "pixel of pictures in [0, 1] with bins of width 1, the latents' code applied as it is",
    )
    strength: SourceEntropyStrength = Field(default="aligned", description="of q beside the latents' own entropy model")
    features: PositiveInt = Field(default=32, description="channels of q's layers")
    learning_rate: PositiveFloat = Field(default=1e-4, description="of q, at the peak of the schedule")
    clip_norm: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _alpha_or_rho(self) -> "RegularizerConfig":
        if (self.alpha is None) == (self.rho is None):
            raise ValueError(f"either alpha or rho must be given, found {self.alpha} and {self.rho}")
        return self


class TrainingConfig(_Section):
    """A whole run."""

    seed: int = Field(default=1, ge=0, le=10**12, description="with the step, decides patches and noise")
    model: ModelConfig = GllmmLiteConfig()
    data: DataConfig
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    guard: GuardConfig = GuardConfig()
    regularizer: RegularizerConfig | None = None
    phases: tuple[PhaseConfig, ...] = Field(min_length=1)
    checkpoint_minutes: PositiveFloat = 5.0
    validation_minutes: PositiveFloat = 10.0
    tensorboard: bool = Field(default=False, description="write scalars for TensorBoard beside log.jsonl")
    start_from: Annotated[Path | str | None, AfterValidator(_without_nul)] = Field(
        default=None,
        description="where the weights start: a checkpoint, whose averages are taken, a model file, or a model's name",
    )
    linear_path_start: LinearPathStart = Field(
        default="karhunen_loeve",
        description="first filters of a linear path: fitted to patches, random and orthonormal, or none, so "
        "that the learned branches do all from the start",
    )

    @model_validator(mode="after")
    def _phases_fit_the_rest(self) -> "TrainingConfig":
        model, distortion = self.model, self.objective.distortion
        smallest = _SMALLEST_PATCH_SIZES.get(distortion, 1)
        for phase in self.phases:
            if phase.patch_size < smallest:
                raise ValueError(
                    f"patch_size must be at least {smallest} for the distortion {distortion}, whose coarsest of five "
                    f"scales needs as much, found {phase.patch_size} in the phase {phase.name}; raise it"
                )
            if phase.rounding == "chosen" and (
                phase.encoder != "fixed" or not model.has_linear_path or model.rounding != "direct"
            ):
                raise ValueError(
                    'rounding = "chosen" must come with encoder = "fixed" and a model that rounds directly and has a '
                    f'linear path, found another in the phase {phase.name}; set them, or rounding = "round"'
                )
            if phase.linear_only and not model.has_linear_path:
                raise ValueError(
                    f"linear_only must be false for {model.kind}, which has no linear path, found true in the "
                    f"phase {phase.name}; remove it"
                )
        return self

    @model_validator(mode="after")
    def _distortion_has_its_lambda(self) -> "TrainingConfig":
        if self.objective.distortion == "ms-ssim":
            name = "lambda_maximum" if self.model.all_rates else "rate_distortion_lambda"
            largest = getattr(self.model, name)
            if largest < 1:
                raise ValueError(
                    f"model.{name} must be at least 1 for the distortion ms-ssim, found {largest:g}, which is for "
                    "mse; multiply the model's lambdas by about 1200"
                )
        if self.objective.distortion == "ssimulacra2":
            name = "lambda_minimum" if self.model.all_rates else "rate_distortion_lambda"
            found = getattr(self.model, name)
            if not _SSIMULACRA2_LAMBDAS[0] <= found <= _SSIMULACRA2_LAMBDAS[1]:
                raise ValueError(
                    f"model.{name} must be between {_SSIMULACRA2_LAMBDAS[0]} and {_SSIMULACRA2_LAMBDAS[1]:g} for the "
                    f"distortion ssimulacra2, found {found:g}, which is for another; take 0.0024 at low rates to 0.18 "
                    "at high ones"
                )
        return self


def recorded_config(settings: Any) -> TrainingConfig:
    """The run that the JSON of a checkpoint or record tells of, perhaps one of another version: keys may be unknown.

    Raises:
        ValidationError: it tells of none.
    """
    return TrainingConfig.model_validate(settings, extra="ignore")


def load_training_config(path: Path) -> TrainingConfig:
    """Read and check a recipe: a TOML file, with the bases that it stands on.

    Raises:
        ConfigurationError: a file is missing, is no TOML, or has an unknown key or a bad value; the message names the
            file in which it stands.
    """
    recipe = read_recipe(path)
    try:
        return TrainingConfig.model_validate(recipe.settings)
    except ValidationError as error:
        mistakes = [mistake for mistake in error.errors() if not _is_consequence(mistake)] or error.errors()
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        raise ConfigurationError(f"{_explain(mistakes[0], recipe)}{more}") from error


def _is_consequence(mistake: ErrorDetails) -> bool:
    """Whether a list is called too short only because elements of it are wrong, which is told by itself."""
    return mistake["type"] == "too_short" and len(mistake["input"]) > 0


def _explain(mistake: ErrorDetails, recipe: Recipe) -> str:
    keys = list(mistake["loc"])
    if keys[:1] == ["model"]:
        del keys[1:2]  # the kind, which pydantic puts in
    unknown_kind = mistake["type"] == "union_tag_invalid"
    file, keys = recipe.whereabouts(["model", "kind"] if unknown_kind else keys)
    of = "" if file == recipe.path else f" (which {recipe.path} stands on)"
    where = f"{file}{of}: {'.'.join(str(key) for key in keys) or 'the configuration'}"
    if unknown_kind:
        context = mistake["ctx"]  # pyright: ignore[reportTypedDictNotRequiredAccess]
        return f"{where}: must be one of {context['expected_tags']}, found {context['tag']!r}"
    if mistake["type"] == "extra_forbidden":
        return f"{where}: is no key of a training configuration; correct or remove it"
    if mistake["type"] == "missing":
        return f"{where}: must be given, found nothing; add it"
    if mistake["type"] == "too_short":
        return f"{where}: must not be empty; give at least one"
    if mistake["type"] == "value_error":
        return f"{where}: {mistake['ctx']['error']}"  # pyright: ignore[reportTypedDictNotRequiredAccess]
    message = mistake["msg"].replace("Input should", "must").replace("valid tuple", "list")
    found = repr(mistake["input"])
    if len(found) > _SHOWN_CHARACTERS:
        found = found[:_SHOWN_CHARACTERS] + "..."
    return f"{where}: {message}, found {found}"
