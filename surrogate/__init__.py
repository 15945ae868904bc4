"""Latent surrogates of rewards: labels, training, fidelity, folders."""
