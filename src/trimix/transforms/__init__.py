"""Transforms between pictures, latents and hyper-latents."""
