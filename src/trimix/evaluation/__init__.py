"""How good a codec is: distortion metrics, rate points and curves, BD-rate, other codecs to compare with."""
