"""Configuration of the models: what a weights file says about its architecture."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from trimix.probability import Family

Widths2 = tuple[PositiveInt, PositiveInt]
Widths4 = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]


class GllmmLiteConfig(BaseModel):
    """Architecture of ``gllmm-lite``; the defaults are the released model's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["gllmm-lite"] = "gllmm-lite"
    latent_channels: int = Field(default=304, ge=1, le=4096)
    side_channels: PositiveInt = 384
    context_channels: PositiveInt = 192
    transform_widths: Widths4 = (24, 48, 80, 160)
    hyper_channels: PositiveInt = 64
    hyper_analysis_width: PositiveInt = 80
    hyper_synthesis_widths: Widths2 = (64, 96)
    head_widths: tuple[PositiveInt, ...] = (224, 224)
    families: tuple[Family, ...] = Field(
        default=(Family.GAUSSIAN, Family.LAPLACIAN, Family.LOGISTIC), min_length=1
    )
    components: PositiveInt = 1
    lambda_minimum: float = Field(default=0.0003, gt=0)
    lambda_maximum: float = Field(default=0.2, gt=0)
