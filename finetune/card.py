"""An adapter folder's README.md, filled from the run that made it."""

from __future__ import annotations

from typing import Any

from finetune.config import FinetuneConfig
from finetune.generators.preset import Preset
from reward_zoo import RewardCard


def adapter_card(
    preset: Preset, reward_spec: str, reward: RewardCard, config: FinetuneConfig, found: dict[str, Any], reward_calls: int
) -> str:
    """What it was tuned on, what changed on held-out prompts, and how to load it, as a hub's model card."""
    rows = [(f"`{reward_spec}`, last step", found["reward"])]
    rows += [(f"`{reward_spec}`, first step", found["reward_one_step"])] if "reward_one_step" in found else []
    rows += [(f"guard `{guard['name']}`, never trained on", guard) for guard in found["guards"]]
    rows += [("diversity (perceptual distance within a prompt)", found["diversity"])] if "diversity" in found else []
    table = "\n".join(
        f"| {name} | {part['before']:.3f} | {part['after']:.3f} | {part['ci95'][0]:+.3f} to {part['ci95'][1]:+.3f} |"
        for name, part in rows
    )
    return f"""---
library_name: diffusers
base_model: {preset.source}
tags: [lora, sdxl, text-to-image, reward-tuning]
license: other
license_name: as-its-base-model
---
# LoRA for `{preset.name}`, tuned on `{reward_spec}`

Made by `lasro finetune --method {config.method}` with {reward_calls} calls of the reward ({reward.summary}; licence of the
reward: {reward.license}). Held-out prompts, same seeds before and after:

| | before | after | 95 % interval of the change |
|---|---|---|---|
{table}

```python
pipeline = StableDiffusionXLPipeline.from_pretrained("{preset.source}")
pipeline.load_lora_weights("THIS_FOLDER")
```

Sample it as `{preset.name}` is sampled: network calls at t = {", ".join(map(str, preset.times))}, sampler {preset.sampler}.
"""
