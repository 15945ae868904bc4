"""The fine-tuning branch of the error tree (root: reward_zoo/errors.py).

FinetuneError
├── GeneratorError  no such generator, or a pipeline that is not of SDXL's architecture
├── PromptError     a prompt set is missing or empty
└── ConfigError     a setting out of its range
"""

from __future__ import annotations

from reward_zoo.errors import LasroError


class FinetuneError(LasroError):
    """Anything about generators and their tuning."""


class GeneratorError(FinetuneError):
    """No such generator, or a pipeline that is not of SDXL's architecture."""


class PromptError(FinetuneError):
    """A prompt set is missing or empty."""


class ConfigError(FinetuneError):
    """A setting out of its range."""
