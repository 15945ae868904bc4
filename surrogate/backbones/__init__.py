"""Backbones of surrogates: networks that turn latents and text into feature maps."""
