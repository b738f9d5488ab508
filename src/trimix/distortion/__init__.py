"""What a picture loses: the distortions that models are trained for, and that the encoder weighs against bits."""

from trimix.distortion.measure import Distortion, DistortionKind

__all__ = ["Distortion", "DistortionKind"]
