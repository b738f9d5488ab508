"""Building blocks of transforms and entropy models."""
