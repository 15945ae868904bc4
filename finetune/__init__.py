"""Two-step generators and the trainer that makes them better.

>>> import finetune
>>> finetune.FinetuneConfig().method
'lasro'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reward_zoo.lazily import lazily

if TYPE_CHECKING:
    from finetune.config import FinetuneConfig
    from finetune.generators.pipeline import SDXLGenerator, load_generator
    from finetune.generators.preset import Preset
    from finetune.lora import load_lora
    from finetune.order import finetune
    from finetune.prompts import load_prompts
    from finetune.rounds import in_rounds

__all__ = ["FinetuneConfig", "Preset", "SDXLGenerator", "finetune", "in_rounds", "load_generator", "load_lora", "load_prompts"]
_HOMES = {
    "FinetuneConfig": "config",
    "Preset": "generators.preset",
    "SDXLGenerator": "generators.pipeline",
    "finetune": "order",
    "in_rounds": "rounds",
    "load_generator": "generators.pipeline",
    "load_lora": "lora",
    "load_prompts": "prompts",
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
