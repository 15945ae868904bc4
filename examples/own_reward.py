# %% [markdown]
# # Your own reward in ten lines
#
# A reward is a function that gets only what it names and returns one number an image, higher is better. It needs no gradient:
# this one counts, and its score jumps.

# %%
import torch

import finetune
import reward_zoo
import surrogate
from reward_zoo.contract import check

SAMPLES, DISTILL_STEPS, STEPS, EVAL_SAMPLES = 1200, 300, 40, 64
OUT = "runs/own-reward"


def flat(images):  # B×3×H×W in [0, 1]
    """How much of the picture is flat: neighbours that differ by at most one of 255 levels."""
    levels = (images * 255).round()
    return ((levels[..., 1:] - levels[..., :-1]).abs().amax(1) <= 1).float().mean((1, 2))


# %% [markdown]
# It can be loaded like any other, and checked: does it say the same alone as in a batch, in any order, twice?

# %%
reward = reward_zoo.load(flat)
print("noise:", reward(images=torch.rand(2, 3, 32, 128)).values)
print("grey:", reward(images=torch.full((2, 3, 32, 128), 0.5)).values)
for found in check(reward):
    print(f"{'kept' if found.kept else 'broken'}: {found.promise} {found.reason}")

# %% [markdown]
# Distil it, and tune the embedded generator on the surrogate. A run folder each: `lasro report`, `watch` and `--resume` know
# them.

# %%
if __name__ == "__main__":
    signs = finetune.load_generator("tiny-signs")
    found = surrogate.distill(
        flat,
        signs,
        finetune.load_prompts("signs-train"),
        out=f"{OUT}/surrogate-run",
        samples=SAMPLES,
        steps=DISTILL_STEPS,
        backbone="latent-cnn",
    )
    print(f"held-out pairs ordered: {found.fidelity['pairwise']['accuracy']:.3f}")
    tuned = finetune.finetune(
        found,
        reward=flat,
        out=f"{OUT}/tuned",
        steps=STEPS,
        eval_samples=EVAL_SAMPLES,
        guards=["ocr", "sharpness"],  # what may be lost on the way
    )
    print(f"flat: {tuned['reward']['before']:.3f} → {tuned['reward']['after']:.3f}; {tuned['verdict']['words']}")
