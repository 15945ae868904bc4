# %% [markdown]
# # Score a folder
#
# Any rewards of the zoo, or your own, on pictures that you have; the best and the worst; a table to take away.

# %%
from pathlib import Path

import torch

import reward_zoo
from reward_zoo.images import read_image
from reward_zoo.tables import write_table

PICTURES = "docs/images/gallery"
REWARDS = ["sharpness", "colorfulness", "0.7*sharpness+0.3*contrast"]
TABLE = "scores.csv"

# %% [markdown]
# A reward is loaded by its spec. Its card says what it needs, its range, and its licence.

# %%
rewards = {spec: reward_zoo.load(spec) for spec in REWARDS}
for spec, reward in rewards.items():
    print(f"{spec}: {reward.card.summary} (needs {', '.join(reward.card.needs) or 'nothing but the picture'})")

# %% [markdown]
# Pictures may be PIL images, arrays or tensors. A list may hold one size alone, so these go one by one; what a reward cannot
# judge is NaN, never 0.

# %%
paths = sorted(Path(PICTURES).glob("*.webp"))
scores = {spec: torch.cat([reward(images=[read_image(path)]).values for path in paths]) for spec, reward in rewards.items()}

for spec, values in scores.items():
    best, worst = paths[values.nan_to_num(-torch.inf).argmax()], paths[values.nan_to_num(torch.inf).argmin()]
    print(f"{spec}: mean {values.nanmean():.3f}; best {best.name}, worst {worst.name}")

# %%
write_table(
    Path(TABLE),
    [{"image": str(path), **{spec: scores[spec][row].item() for spec in scores}} for row, path in enumerate(paths)],
)
print(f"{len(paths)} pictures, {len(rewards)} rewards: {TABLE}")
