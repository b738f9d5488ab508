"""What a picture loses: the distortions that models are trained for, and that the encoder weighs against bits."""

from trimix.distortion.measure import Distortion, DistortionKind, weighted_squared_error
from trimix.distortion.stand_in import stand_in

__all__ = ["Distortion", "DistortionKind", "stand_in", "weighted_squared_error"]
