"""The labelling step: roll out, decode, ask the reward, write down. The reward is asked while the next batch is painted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from reward_zoo import Reward, Scores
from reward_zoo.errors import RewardFailedError
from reward_zoo.images import as_images, read_image
from surrogate.pipeline import AHEAD, overlap
from surrogate.seeding import derive_seed
from surrogate.store import Label, LabelledStore
from surrogate.types import Generator, Rollout


class RewardMeter:
    """The true reward, counted: every image it is asked about costs one call."""

    def __init__(self, reward: Reward, calls: int = 0) -> None:
        self.reward, self.calls = reward, calls

    @property
    def elsewhere(self) -> bool:
        """The reward's own."""
        return self.reward.elsewhere

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


@dataclass(frozen=True)
class Painted:
    """All k stages of a rollout, all of the first and then of the next: CPU latents kB×4×h×w, and their images kB×3×H×W."""

    rollout: Rollout
    latents: torch.Tensor
    images: torch.Tensor


def paint(generator: Generator, rollout: Rollout) -> Painted:
    """Decode a rollout."""
    latents = torch.cat(list(rollout.stages.values())).cpu()
    return Painted(rollout, latents, generator.decode(latents))


def judge(meter: RewardMeter, painted: Painted) -> tuple[torch.Tensor, list[Label]]:
    """Ask the reward: the latents and their labels.

    Raises:
        RewardFailedError: see `RewardMeter`.
    """
    rollout, stages = painted.rollout, list(painted.rollout.stages)
    prompts = rollout.prompts * len(stages)
    scores = meter(painted.images, prompts)
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
    return painted.latents, labels


def label_rollout(generator: Generator, meter: RewardMeter, rollout: Rollout) -> tuple[torch.Tensor, list[Label]]:
    """Paint, then judge."""
    return judge(meter, paint(generator, rollout))


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


@dataclass(frozen=True)
class Batch:
    """(prompt, seed) jobs that are labelled together, and the number of the shard that they become."""

    shard: int
    jobs: list[tuple[str, int]]

    def rollout(self, generator: Generator, extra_steps: int) -> Rollout:
        """Its samples."""
        prompts, seeds = zip(*self.jobs, strict=True)
        return generator.rollout(list(prompts), list(seeds), extra_steps)


def batches_to_do(store: LabelledStore, jobs: Sequence[tuple[str, int]], batch_size: int) -> list[Batch]:
    """The (prompt, seed) jobs that the store lacks.

    Whichever of a labelling's batches are there already, each gets the number and the company that it would have had
    without an interruption.
    """
    done = store.done()
    todo = [job for job in jobs if job not in done]
    parts = [todo[start : start + batch_size] for start in range(0, len(todo), batch_size)]
    return [Batch(number, part) for number, part in zip(store.free_numbers(), parts, strict=False)]


def ahead_of(generator: Generator, reward: Reward | RewardMeter) -> int:
    """How far a generator may paint ahead of a reward's answers: not at all where both would quarrel over this process's cores.

    Each keeps them busy alone; at once, they take longer (benchmarks/labelling.py).
    """
    return AHEAD if generator.device.type != "cpu" or reward.elsewhere else 0


def label(
    generator: Generator,
    meter: RewardMeter,
    batches: Sequence[Batch],
    store: LabelledStore,
    *,
    extra_steps: int = 0,
    ahead: int | None = None,
    progress: Callable[[int], None] = lambda jobs: None,
) -> None:
    """Label batches, a shard each.

    Args:
        generator: what paints.
        meter: what judges, in a thread beside.
        batches: what is to be done, see `batches_to_do`.
        store: where the shards go.
        extra_steps: see `Generator.rollout`.
        ahead: so many batches are painted and not judged, at most. None: `ahead_of`.
        progress: told how many jobs are done by each shard that is written.

    Raises:
        RewardFailedError: see `RewardMeter`.
    """

    def keep(batch: Batch, labelled: tuple[torch.Tensor, list[Label]]) -> None:
        store.put(batch.shard, *labelled)
        progress(len(batch.jobs))

    overlap(
        batches,
        lambda batch: paint(generator, batch.rollout(generator, extra_steps)),
        lambda painted: judge(meter, painted),
        keep,
        ahead=ahead_of(generator, meter) if ahead is None else ahead,
    )
