"""Rate and distortion of a model that is being trained, on whole pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from trimix.architectures.compression_model import CompressionModel
from trimix.evaluation.metrics import psnr_db
from trimix.evaluation.rate_points import RatePoint, mean_point
from trimix.images import pad_to_multiple, read_picture, to_pixels, to_planes
from trimix.layers.quality import QUALITY_MAXIMUM

_PICTURE_MULTIPLE = 64


@dataclass(frozen=True)
class PictureRates:
    """Every picture of a set through one model.

    Args:
        bits_per_pixel: -log2 likelihood of rounded latents and hyper-latents, over the pixels of the picture.
        psnr_db: of 8-bit RGB.
    """

    bits_per_pixel: tuple[float, ...]
    psnr_db: tuple[float, ...]

    @property
    def mean(self) -> RatePoint:
        """Means over the pictures."""
        return mean_point(
            RatePoint(rate, decibels) for rate, decibels in zip(self.bits_per_pixel, self.psnr_db, strict=True)
        )


@torch.no_grad()
def picture_rates(
    model: CompressionModel, pictures: Sequence[Path], between_pictures: Callable[[], None] = lambda: None
) -> PictureRates:
    """Measure a model on pictures, without writing files.

    Bits are those of the float model on rounded latents: headers, and what freezing costs, are left out.

    Args:
        model: of one rate.
        pictures: files.
        between_pictures: called before each.

    Raises:
        PictureError: one cannot be read.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    quality = torch.full((1,), QUALITY_MAXIMUM, device=device)
    rates, decibels = [], []
    for path in pictures:
        between_pictures()
        pixels = read_picture(path).bare().pixels
        height, width = pixels.shape[:2]
        planes = to_planes(pad_to_multiple(pixels, _PICTURE_MULTIPLE))
        x = torch.from_numpy(planes)[None].to(device, memory_format=torch.channels_last)
        output = model(x, quality, rounding="round")
        bits = float(output.latent_bits.double() + output.hyper_latent_bits.double())
        decoded = to_pixels(output.reconstruction[0].float().cpu().numpy())[:height, :width]
        rates.append(bits / (height * width))
        decibels.append(psnr_db(pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2), decoded))
    model.train(was_training)
    return PictureRates(tuple(rates), tuple(decibels))
