"""Configuration of a training run, read from TOML; unknown keys are refused."""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from trimix.errors import ConfigurationError
from trimix.models.config import GllmmLiteConfig


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """Where pictures come from and how patches are cut from them."""

    training: tuple[Path, ...] = Field(min_length=1, description="folders or tars of pictures")
    validation: tuple[Path, ...] = ()
    scale_minimum: float = Field(default=0.5, gt=0, le=1, description="smallest random scale of a patch")
    scaled_share: float = Field(default=0.5, ge=0, le=1, description="share of patches that are scaled down")


class PhaseConfig(_Section):
    """One phase of training; phases follow one another with the same optimiser."""

    name: str
    steps: PositiveInt
    batch_size: PositiveInt = 8
    patch_size: PositiveInt = Field(default=128, multiple_of=64, description="pixels a side")
    learning_rate: PositiveFloat = 5e-4
    learning_rate_final: float = Field(
        default=0.0, ge=0, description="reached at the end of a decaying phase"
    )
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warm_up_steps: NonNegativeInt = 0
    linear_only: bool = Field(default=False, description="leave the learned branches of the transforms out")
    rounding: Literal["noise", "round"] = "noise"
    encoder: Literal["trained", "fixed"] = "trained"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"


class OptimizerConfig(_Section):
    """Optimiser, clipping and averaging."""

    linear_path_ratio: PositiveFloat = Field(
        default=0.1, description="learning rate of the Karhunen-Loeve path over that of the others"
    )
    clip_norm: PositiveFloat = 1.0
    average_decay: float = Field(
        default=0.999, ge=0, lt=1, description="exponential moving average of weights"
    )


class ObjectiveConfig(_Section):
    """R + lambda * 255^2 * MSE with a random quality for every picture."""

    quality_minimum: float = Field(default=1.0, ge=1, le=100)
    quality_maximum: float = Field(default=100.0, ge=1, le=100)
    balance: float = Field(
        default=0.45,
        ge=0,
        le=1,
        description="a picture's loss is divided by (lambda / 0.016)^balance, so that rates count by ratio",
    )


class TrainingConfig(_Section):
    """A whole run."""

    seed: NonNegativeInt = 1
    model: GllmmLiteConfig = GllmmLiteConfig()
    data: DataConfig
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    phases: tuple[PhaseConfig, ...] = Field(min_length=1)
    checkpoint_minutes: PositiveFloat = 5.0
    validation_minutes: PositiveFloat = 10.0
    start_from: Path | None = Field(
        default=None, description="checkpoint whose averaged weights are the start"
    )


def load_training_config(path: Path) -> TrainingConfig:
    """Read and check a TOML file.

    Raises:
        ConfigurationError: the file is missing, is no TOML, or has an unknown key or a bad value.
    """
    try:
        return TrainingConfig.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ConfigurationError(
            f"{path}: {where}: {first['msg']}, found {first['input']!r}{more}"
        ) from error
