"""Two-step generators: SDXL pipelines and the presets that sample them."""
