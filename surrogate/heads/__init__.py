"""Heads of surrogates: from feature maps to a score."""
