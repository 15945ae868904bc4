"""The labelling step: roll out, decode, ask the reward, write down."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from reward_zoo import Reward, Scores
from reward_zoo.errors import RewardFailedError
from reward_zoo.images import as_images, read_image
from surrogate.seeding import derive_seed
from surrogate.store import Label, LabelledStore
from surrogate.types import Generator, Rollout


class RewardMeter:
    """The true reward, counted: every image it is asked about costs one call."""

    def __init__(self, reward: Reward, calls: int = 0) -> None:
        self.reward, self.calls = reward, calls

    def __call__(self, images: torch.Tensor, prompts: Sequence[str]) -> Scores:
        """Score images B×3×H×W in [0, 1].

        Raises:
            RewardFailedError: the reward raised, or gave no score for more than half of the images.
        """
        scores = self.reward(images=images, prompts=list(prompts))
        self.calls += len(scores)
        invalid = int((~scores.valid).sum())
        if invalid * 2 > len(scores):
            name = self.reward.card.name
            raise RewardFailedError(f"{name}: gave no score (NaN) for {invalid} of {len(scores)} images; mend the reward")
        return scores


def label_rollout(generator: Generator, meter: RewardMeter, rollout: Rollout) -> tuple[torch.Tensor, list[Label]]:
    """Score all stages of a rollout: CPU latents kB×4×h×w (all of the first stage, then of the next) and their labels."""
    stages = list(rollout.stages)
    latents = torch.cat([rollout.stages[stage] for stage in stages]).cpu()
    prompts = rollout.prompts * len(stages)
    scores = meter(generator.decode(latents), prompts)
    count = len(rollout.prompts)
    perceived = scores.perceived or [""] * len(prompts)
    labels = [
        Label(
            prompt=prompts[row],
            seed=rollout.seeds[row % count],
            stage=stages[row // count],
            score=scores.values[row].item(),
            perceived=perceived[row],
            components=json.dumps({name: round(part[row].item(), 6) for name, part in scores.components.items()}),
        )
        for row in range(len(prompts))
    ]
    return latents, labels


@torch.no_grad()
def encode_files(generator: Generator, files: Sequence[Path]) -> torch.Tensor:
    """Pictures, cropped about their middle to the generator's size, as scaled latents B×4×h×w."""
    from PIL import Image, ImageOps

    height, width = generator.image_size
    pictures = [ImageOps.fit(read_image(file), (width, height), Image.Resampling.BICUBIC) for file in files]
    return generator.encode_images(as_images(pictures))


def label_images(
    generator: Generator, meter: RewardMeter, pictures: Sequence[tuple[Path, str]], store: LabelledStore, *, batch_size: int
) -> None:
    """Label (file, prompt) pairs that the store lacks, as stage 0: through the VAE, and judged as it gives them back.

    Pictures are cropped about their middle to the generator's size.

    Raises:
        ImageError: a file cannot be read.
        RewardFailedError: see `RewardMeter`.
    """
    done = store.done()
    todo = [(file, prompt, derive_seed(0, "picture", file.name)) for file, prompt in pictures]
    todo = [item for item in todo if item[1:] not in done]
    for start in range(0, len(todo), batch_size):
        files, prompts, seeds = zip(*todo[start : start + batch_size], strict=True)
        latents = encode_files(generator, files)
        store.append(*label_rollout(generator, meter, Rollout(list(prompts), list(seeds), {0: latents})))


def label(
    generator: Generator,
    meter: RewardMeter,
    jobs: Sequence[tuple[str, int]],
    store: LabelledStore,
    *,
    batch_size: int,
    extra_steps: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Label the (prompt, seed) jobs that the store lacks, a shard a batch.

    Raises:
        RewardFailedError: see `RewardMeter`.
    """
    done = store.done()
    todo = [job for job in jobs if job not in done]
    for start in range(0, len(todo), batch_size):
        batch = todo[start : start + batch_size]
        rollout = generator.rollout([prompt for prompt, _ in batch], [seed for _, seed in batch], extra_steps)
        store.append(*label_rollout(generator, meter, rollout))
        progress(len(jobs) - len(todo) + start + len(batch), len(jobs))
