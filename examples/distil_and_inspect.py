# %% [markdown]
# # Distil a reward, and look at what the surrogate knows
#
# `ocr` has no gradient. A surrogate of it has one, in the generator's latent space. How far may it be climbed?

# %%
import torch

import finetune
import reward_zoo
import surrogate
from finetune.pictures import grid, to_pil
from surrogate.evaluation import evaluate_surrogate, roll_out
from surrogate.labelling import RewardMeter

SAMPLES, STEPS = 4500, 1000
PROMPTS, GRADIENT_SAMPLES = 64, 48
OUT = "runs/inspect"

# %% [markdown]
# Labels are made and remembered in `OUT/labels`; cut off, the same call with `resume=True` goes on.

# %%
generator = finetune.load_generator("tiny-signs")
prompts = finetune.load_prompts("signs-train")
found = surrogate.distill("ocr", generator, prompts, out=OUT, samples=SAMPLES, noises=3, steps=STEPS)

pairwise = found.fidelity["pairwise"]
print(f"held-out pairs ordered: {pairwise['accuracy']:.3f}")
print(f"as the reward orders them again when pictures move by a pixel: {pairwise['ceiling']:.3f}")

# %% [markdown]
# On fresh samples of words that neither generator nor surrogate was trained on: order, and the question that matters for
# climbing. Does the *true* reward rise when a latent takes one step along the surrogate's gradient?

# %%
meter = RewardMeter(reward_zoo.load("ocr"))
fresh = roll_out(generator, meter, finetune.load_prompts("signs-test")[:PROMPTS], noises=4, seed=0)
report = evaluate_surrogate(
    generator, found.surrogate, meter, fresh, margin=found.config["margin"], gradient_count=GRADIENT_SAMPLES, seed=0
)
for step in report["gradient"]["by_step"]:
    print(f"a step of RMS {step['step']}: true reward {step['gain']:+.3f}, a random one {step['random_gain']:+.3f}")
print(report["verdict"])

# %% [markdown]
# What such steps look like: each picture, and the same latent after one step of RMS 0.1 and of 0.3.

# %%
rows = [row for row in range(len(fresh.prompts)) if fresh.stages[row] == generator.num_steps][:24:4]
latents = fresh.latents[rows].requires_grad_(True)
(gradient,) = torch.autograd.grad(found.surrogate.score(latents, fresh.conditioning(generator, rows)).sum(), latents)
unit = gradient / gradient.square().mean((1, 2, 3), keepdim=True).sqrt()
pictures, captions = [], []
for size in (0.0, 0.1, 0.3):
    images = generator.decode(latents.detach() + size * unit)
    scores = meter(images, [fresh.prompts[row] for row in rows]).values
    pictures += [to_pil(image) for image in images]
    captions += [f"step {size}: {score:.2f}" for score in scores]
grid(pictures, captions, columns=len(rows)).save(f"{OUT}/steps.png")
print(f"{OUT}/steps.png; {meter.calls} calls to measure")
