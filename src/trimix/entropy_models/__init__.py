"""Probabilities of latents and hyper-latents."""
