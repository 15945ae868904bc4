"""Benchmarks that `lasro bench` runs."""
