"""Discretized distributions of latents: Gaussian, Laplacian, logistic, and their mixtures."""

from trimix.probability.mixture import Family, MixtureParameters, log_likelihood

__all__ = ["Family", "MixtureParameters", "log_likelihood"]
