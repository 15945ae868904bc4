"""What is labelled and read back: prompts and noises worth so many reward calls, whole labellings, stores of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

import reward_zoo
from reward_zoo.card import READ_TEXT
from reward_zoo.composite import Composite
from reward_zoo.loading import absolute_spec
from reward_zoo.terminal import note, progress
from surrogate.config import DistillConfig
from surrogate.labelling import Batch, RewardMeter, batches_to_do, label, label_images
from surrogate.sampling import LabelledLatents, read_stores
from surrogate.seeding import derive_seed, stream
from surrogate.store import LabelledStore
from surrogate.team import ALONE, Team
from surrogate.types import Generator

OnCluster = Callable[[Sequence[Batch], LabelledStore, Callable[[int], None]], int]  # label batches; the reward calls
Heed = Callable[..., None]  # how far a phase is: its name, done, total


def label_jobs(prompts: Sequence[str], config: DistillConfig, pictured: Sequence[str] = ()) -> list[tuple[str, int]]:
    """(prompt, seed) pairs worth `config.samples` reward calls: `noises` seeds a prompt, one call a stage.

    `pictured` are the prompts of real pictures, one call each; they come first, so that each has samples to stand beside.
    """
    count = max(2, (config.samples - len(pictured)) // (config.stages * config.noises))
    order = torch.randperm(len(prompts), generator=stream(config.seed, "label prompts")).tolist()
    chosen = list(dict.fromkeys([*pictured, *(prompts[index] for index in order)]))[:count]
    return [(prompt, derive_seed(config.seed, prompt, noise)) for prompt in chosen for noise in range(config.noises)]


def _say_what_prompts_lack(config: DistillConfig, makes: int) -> None:
    """There are too few prompts for the samples that were asked for."""
    if makes + config.noises * config.stages <= config.samples:
        note(
            f"--samples {config.samples}: all prompts, with {config.noises} noises each, make {makes:,}; "
            "for more labels give more prompts, or more noises (--noises)"
        )


def run_label(
    folder: Path,
    generator: Generator,
    reward: reward_zoo.Reward,
    spec: str,
    prompts: Sequence[str],
    config: DistillConfig,
    pictures: Sequence[tuple[Path, str]] = (),
    *,
    adapter: Path | None = None,
    team: Team = ALONE,
    on_cluster: OnCluster | None = None,
    heed: Heed = lambda *_, **__: None,
) -> tuple[LabelledStore, int]:
    """Label what the store at `folder` lacks of `config.samples`; the store, and the reward calls it took.

    `pictures` are (file, prompt) pairs of real ones, learnt from beside the generator's samples; the process that leads
    labels them. `adapter` is what the generator was loaded with, for the record. In a team each process labels its share of
    the batches; `on_cluster` has others label them. `heed` is told after every batch, which is saved, and may raise
    (`RunFolder.heed`).
    """
    space = generator.latent_space.as_dict()
    meter, jobs = RewardMeter(reward), label_jobs(prompts, config, [prompt for _, prompt in pictures])
    if team.leads:
        _say_what_prompts_lack(config, len(jobs) * config.stages + len(pictures))
        facts = {"generator": generator.name, "reward": absolute_spec(spec), "latent_space": space}
        store = LabelledStore.create(folder, **facts, adapter=str(adapter.resolve()) if adapter else None)
        if pictures:
            label_images(generator, meter, pictures, store, batch_size=config.label_batch_size)
    team.wait()
    store = LabelledStore.open(folder)
    todo = batches_to_do(store, jobs, config.label_batch_size)
    team.wait()  # nobody writes before all have looked
    mine = todo[team.rank :: team.count]
    with progress("label") if team.leads else nullcontext(lambda *_: None) as bar:
        total = len(jobs) if team.count == 1 else sum(len(batch.jobs) for batch in mine)
        done = total - sum(len(batch.jobs) for batch in mine)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            bar(done, total)
            heed("label", done, total, pausable=team.count == 1)

        if on_cluster:
            meter.calls += on_cluster(mine, store, advance)
        else:
            label(generator, meter, mine, store, extra_steps=config.extra_steps, progress=advance)
    team.wait()
    return store, round(team.count * team.mean(torch.tensor(float(meter.calls), dtype=torch.float64)))


def part_names(reward: reward_zoo.Reward) -> tuple[str, ...]:
    """The rewards a weighted sum is made of, each of which gets heads of its own; none for any other reward."""
    if isinstance(reward, Composite) and reward.aggregation in ("sum", "raw") and len(reward.members) > 1:
        return tuple(dict.fromkeys(member.spec for member in reward.members))
    return ()


def read_labels(stores: Sequence[LabelledStore], reward: reward_zoo.Reward) -> LabelledLatents:
    """The labels of some stores, with what a surrogate of that reward learns from: its parts, and the text it perceived."""
    return read_stores(stores, part_names=part_names(reward), reads_text=reward.card.perceives == READ_TEXT)


def open_store(path: Path) -> LabelledStore:
    """The labels in a run's folder, or in the folder itself.

    Raises:
        StoreError: there are none.
    """
    return LabelledStore.open(path / "labels" if (path / "labels" / "meta.json").is_file() else path)
