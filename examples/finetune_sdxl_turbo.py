# %% [markdown]
# # Fine-tune SDXL-Turbo on one GPU
#
# The whole way on a real generator. The weights are fetched on first use; read their licence. Nobody has measured this on
# SDXL-Turbo's weights yet: start small, and look at the pictures.

# %%
from pathlib import Path

import finetune
import surrogate

GENERATOR = "sdxl-turbo"  # or a pipeline folder, a hub id, a preset.yaml
DEVICE = "auto"
REWARD = "jpeg_compressibility"  # or "ocr", "0.7*ocr+0.3*aesthetic", a function of yours
GUARDS = ["artifact_guard", "sharpness"]
SAMPLES, DISTILL_STEPS, STEPS, BATCH_SIZE, EVAL_SAMPLES, LORA_RANK = 2400, 600, 60, 8, 64, 16
OUT = Path("runs/turbo")

THINGS = ["a harbour", "an old bicycle", "a red fox", "a bowl of soup", "a lighthouse", "a clock tower", "a tram", "a heron"]
PLACES = ["at dawn", "in the rain", "in autumn", "seen from above", "as a woodcut", "as a watercolour"]
PROMPTS = [f"{thing} {place}" for thing in THINGS for place in PLACES]
HELD_OUT = [f"{thing} {place}" for thing in ("a windmill", "a violin", "an owl") for place in PLACES]

# %% [markdown]
# Frozen weights in bfloat16 and activations computed twice fit a 24 GB card at 512 px; encoded prompts are kept on disk, so
# that the text encoders leave memory.

# %%
loading = {"precision": "bfloat16", "gradient_checkpointing": True, "text_cache": OUT / "prompts"}
turbo = finetune.load_generator(GENERATOR, DEVICE, **loading)

# %% [markdown]
# One: ask the reward, and distil it. Cut off? The same call with `resume=True`.

# %%
found = surrogate.distill(
    REWARD,
    turbo,
    PROMPTS,
    out=OUT / "distilled",
    samples=SAMPLES,
    steps=DISTILL_STEPS,
    backbone="encoder",
    tune="lora",
    gradient_checkpointing=True,
)
accuracy = found.fidelity["pairwise"]["accuracy"]
print(f"held-out pairs ordered: {accuracy:.3f}" + ("" if accuracy > 0.6 else ": too few to be climbed; more labels come first"))

# %% [markdown]
# Two: climb it. `lasro watch runs/turbo/tuned` shows the run in a browser, with buttons to pause and stop.

# %%
tuned = finetune.finetune(
    found,
    generator=turbo,
    prompts=PROMPTS,
    eval_prompts=HELD_OUT,
    eval_samples=EVAL_SAMPLES,
    guards=GUARDS,
    steps=STEPS,
    batch_size=BATCH_SIZE,
    lora_rank=LORA_RANK,
    out=OUT / "tuned",
)
reward = tuned["reward"]
print(f"{REWARD}: {reward['before']:.3f} → {reward['after']:.3f}, interval of the change {reward['ci95']}")
print(tuned["verdict"]["words"])

# %% [markdown]
# The LoRA is a diffusers LoRA.

# %%
print(f"pipeline.load_lora_weights({tuned['adapter']!r})")
