"""Where generator, reward and surrogate meet: the two main jobs as functions from settings to a result."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

import reward_zoo
from cli.output import progress
from cli.run_folder import RunFolder
from finetune.generators.pipeline import SDXLGenerator, load_generator
from reward_zoo.briefing import Facts, briefed
from reward_zoo.card import READ_TEXT
from reward_zoo.composite import Composite
from reward_zoo.loading import absolute_spec
from surrogate.config import DistillConfig
from surrogate.distillation import train_surrogate
from surrogate.fidelity import noise_ceiling
from surrogate.folder import save_surrogate
from surrogate.hindsight import hindsight_of
from surrogate.labelling import Batch, RewardMeter, batches_to_do, label, label_images
from surrogate.sampling import LabelledLatents, read_stores, split_by_prompt
from surrogate.seeding import derive_seed, stream
from surrogate.store import LabelledStore
from surrogate.team import ALONE, Team


def label_jobs(prompts: Sequence[str], config: DistillConfig, pictured: Sequence[str] = ()) -> list[tuple[str, int]]:
    """(prompt, seed) pairs worth `config.samples` reward calls: `noises` seeds a prompt, one call a stage.

    `pictured` are the prompts of real pictures, one call each; they come first, so that each has samples to stand beside.
    """
    count = max(2, (config.samples - len(pictured)) // (config.stages * config.noises))
    order = torch.randperm(len(prompts), generator=stream(config.seed, "label prompts")).tolist()
    chosen = list(dict.fromkeys([*pictured, *(prompts[index] for index in order)]))[:count]
    return [(prompt, derive_seed(config.seed, prompt, noise)) for prompt in chosen for noise in range(config.noises)]


def margin_of(reward: reward_zoo.Reward, spread: float) -> float:
    """Scores nearer than this are not told apart: 0.2 of a [0, 1] reward's range, else half the labels' spread."""
    return 0.2 if reward.card.range == (0.0, 1.0) else 0.5 * spread


def part_names(reward: reward_zoo.Reward) -> tuple[str, ...]:
    """The rewards a weighted sum is made of, each of which gets heads of its own; none for any other reward."""
    if isinstance(reward, Composite) and reward.aggregation in ("sum", "raw") and len(reward.members) > 1:
        return tuple(dict.fromkeys(member.spec for member in reward.members))
    return ()


def read_labels(stores: Sequence[LabelledStore], reward: reward_zoo.Reward) -> LabelledLatents:
    """The labels of some stores, with what a surrogate of that reward learns from: its parts, and the text it perceived."""
    return read_stores(stores, part_names=part_names(reward), reads_text=reward.card.perceives == READ_TEXT)


OnCluster = Callable[[Sequence[Batch], LabelledStore, Callable[[int], None]], int]  # label batches; the reward calls
Heed = Callable[..., None]  # how far a phase is: its name, done, total


def run_label(
    folder: Path,
    generator: SDXLGenerator,
    reward: reward_zoo.Reward,
    spec: str,
    prompts: Sequence[str],
    config: DistillConfig,
    pictures: Sequence[tuple[Path, str]] = (),
    *,
    team: Team = ALONE,
    on_cluster: OnCluster | None = None,
    heed: Heed = lambda *_, **__: None,
) -> tuple[LabelledStore, int]:
    """Label what the store at `folder` lacks of `config.samples`; the store, and the reward calls it took.

    `pictures` are (file, prompt) pairs of real ones, learnt from beside the generator's samples; the process that leads
    labels them. In a team each process labels its share of the batches; `on_cluster` has others label them. `heed` is told
    after every batch, which is saved, and may raise (`RunFolder.heed`).
    """
    space = generator.latent_space.as_dict()
    meter, jobs = RewardMeter(reward), label_jobs(prompts, config, [prompt for _, prompt in pictures])
    if team.leads:
        store = LabelledStore.create(folder, generator=generator.name, reward=absolute_spec(spec), latent_space=space)
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


def run_distill(
    run: RunFolder,
    generator: SDXLGenerator,
    reward: reward_zoo.Reward,
    spec: str,
    prompts: Sequence[str],
    config: DistillConfig,
    pictures: Sequence[tuple[Path, str]] = (),
    team: Team = ALONE,
) -> dict[str, Any]:
    """Label, train, measure, save: the result of `lasro distill`."""
    began = time.time()
    store, calls = run_label(run.path / "labels", generator, reward, spec, prompts, config, pictures, team=team, heed=run.heed)
    result = run_training(run, generator, reward, spec, [store], config, team)
    result |= {"reward_calls": calls, "minutes": (time.time() - began) / 60}
    run.save_summary(result)
    return result


def load_labeller(generator: str, device: str, reward: str, facts: Facts) -> tuple[SDXLGenerator, reward_zoo.Reward]:
    """What a worker on another machine needs, by name."""
    return load_generator(generator, device), briefed(reward_zoo.load(reward), facts)


def run_training(
    run: RunFolder,
    generator: SDXLGenerator,
    reward: reward_zoo.Reward,
    spec: str,
    stores: Sequence[LabelledStore],
    config: DistillConfig,
    team: Team = ALONE,
) -> dict[str, Any]:
    """Train on labels that are there, measure, save: the result of `lasro distill --data`; of a team, only where it leads."""
    began = time.time()
    data = read_labels(stores, reward)
    config = config.settled(perceives=data.perceives_text)
    training, held_out = split_by_prompt(data, config.held_out, stream(config.seed, "split"))
    asked = (held_out.stages == 1) | (held_out.stages == 2)  # fidelity is asked for where the generator will be tuned
    held_out = held_out.rows(asked)
    margin = margin_of(reward, data.scores.std().item())
    with progress("distil") if team.leads else nullcontext() as bar:

        def report(record: dict[str, Any]) -> None:
            run.log({"phase": "distill", **record})
            text = f"accuracy {record['accuracy']:.3f}" if "accuracy" in record else ""
            bar(record["step"], record["steps"], text)
            run.heed("distill", record["step"], record["steps"], pausable=team.count == 1)  # others would wait in vain

        hindsight = hindsight_of(reward, config.hindsight)
        checkpoint = run.path / "checkpoints" / "distill.pt"
        distilled = train_surrogate(
            generator,
            training,
            held_out,
            config,
            margin=margin,
            hindsight=hindsight,
            report=report,
            checkpoint=checkpoint,
            team=team,
        )
    if not team.leads:
        return {}
    fidelity = distilled.held_out
    referee = RewardMeter(reward)
    fidelity["pairwise"]["ceiling"] = noise_ceiling(
        generator,
        referee,
        held_out.latents,
        held_out.row_prompts(),
        held_out.scores.numpy(),
        held_out.groups.numpy(),
        margin,
    )
    fidelity |= {"labels": len(data), "held_out": len(held_out), "prompts": len(data.prompts), "step": distilled.step}
    folder = run.path / "surrogate"
    labels = [os.path.relpath(store.folder, folder) for store in stores]
    facts = {"reward": absolute_spec(spec), "generator": generator.name, "margin": margin, "labels": labels}
    facts |= {
        "generators": list(dict.fromkeys(store.meta["generator"] for store in stores)),
        "teacher_license": reward.card.license,
    }
    save_surrogate(distilled.surrogate, folder, fidelity=fidelity, distill=config.as_dict(), **facts)
    result = {
        "reward": spec,
        "surrogate": str(folder),
        "reward_calls": 0,
        "measuring_calls": referee.calls,
        **fidelity,
        "backbone": config.backbone,
        "minutes": (time.time() - began) / 60,
        "run": str(run.path),
    }
    run.save_summary(result)
    checkpoint.unlink(missing_ok=True)  # as large as the surrogate three times over
    return result
