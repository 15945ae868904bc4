"""Estimates for `--dry-run`, measured by doing a little of the real thing in a temporary folder, on this machine."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import reward_zoo
from cli.plan import Plan
from finetune.evaluation import evaluate
from finetune.generators.pipeline import SDXLGenerator
from finetune.trainer import Trainer
from surrogate.building import settled_for
from surrogate.checkpoint import Checkpoints
from surrogate.config import DistillConfig
from surrogate.distillation import predict, train_surrogate
from surrogate.hindsight import hindsight_of
from surrogate.jobs import margin_of
from surrogate.labelling import RewardMeter, batches_to_do, label
from surrogate.labels import label_jobs, read_labels
from surrogate.latents import KEPT_BYTES
from surrogate.sampling import MOST_HELD_OUT, ConditioningTable, LabelledLatents, split_by_prompt
from surrogate.seeding import derive_seed, stream
from surrogate.store import LabelledStore

if TYPE_CHECKING:
    from finetune.jobs import TuningJob
    from surrogate.model import Surrogate

LABEL_SECONDS = 12.0  # what the probe spends on labels, at most a batch more
PROMPTS = 16  # of its labels
BATCH = 8
TRAINING_STEPS = 4
TUNING_PROMPTS = 64
EVALUATED = 8
BYTES = {"latent": 2, "weight": 4}  # float16 in stores, float32 elsewhere


def probe_labels(
    plan: Plan, generator: SDXLGenerator, reward: reward_zoo.Reward, prompts: Sequence[str], config: DistillConfig, folder: Path
) -> LabelledStore:
    """Label a few samples as the run would, and scale; the store of those few."""
    jobs = label_jobs(prompts, config)
    space = generator.latent_space
    store = LabelledStore.create(folder, generator=generator.name, reward="probe", latent_space=space.as_dict())
    meter = RewardMeter(reward)
    few = [job for job in jobs if job[0] in set(list(dict.fromkeys(prompt for prompt, _ in jobs))[:PROMPTS])]
    label(generator, meter, batches_to_do(store, few[:2], 2), store, extra_steps=config.extra_steps)  # the first calls are slow
    began, done = time.monotonic(), 2
    while done < len(few) and time.monotonic() - began < LABEL_SECONDS:
        batch = few[done : done + BATCH]
        label(generator, meter, batches_to_do(store, batch, BATCH), store, extra_steps=config.extra_steps)
        done += len(batch)
    if done > 2:
        plan.seconds["labels"] = (time.monotonic() - began) / (done - 2) * len(jobs)
    rows = len(jobs) * config.stages
    plan.disk["labels"] = rows * space.channels * space.height * space.width * BYTES["latent"]
    plan.sources["time"] = f"measured on {generator.device} with {meter.calls} labels"
    _note_memory(plan, generator)
    return store


def probe_training(
    plan: Plan,
    generator: SDXLGenerator,
    reward: reward_zoo.Reward,
    stores: Sequence[LabelledStore],
    config: DistillConfig,
    rows: int,
) -> None:
    """Train a few steps on what is labelled, and scale; `rows` is how many labels the run has."""
    data = read_labels(stores, reward)
    a_prompt = len(data) / len(data.groups.unique())
    held = min(rows * config.held_out, MOST_HELD_OUT * a_prompt)
    config = settled_for(generator, config, perceives=data.perceives_text, labels=int(rows - held))
    training, held_out = split_by_prompt(data, config.held_out, stream(config.seed, "split"))
    training, held_out = _first_prompts(training, config.prompts_per_batch), _first_prompts(held_out, PROMPTS)
    times: list[float] = []
    distilled = train_surrogate(
        generator,
        training,
        held_out,
        replace(config, steps=TRAINING_STEPS),
        margin=margin_of(reward, data.scores.std().item()),
        hindsight=hindsight_of(reward, config.hindsight),
        report=lambda record: times.append(time.monotonic()),
    )
    surrogate = distilled.surrogate
    look, preparing = _seconds_of_a_look(generator, surrogate, held_out, config)
    a_step = (times[-1] - times[0]) / max(1, len(times) - 1) - look * len(held_out)  # which are looked at in every step
    a_step *= config.prompts_per_batch / len(training.groups.unique())
    kept = held_out.prepared(surrogate.backbone).latents[:1].nbytes * rows <= KEPT_BYTES
    prepared = rows if kept else config.steps * config.prompts_per_batch * (config.rows_per_prompt or a_prompt)
    looks = held * (config.steps // config.evaluate_every)
    plan.seconds["training"] = max(0.0, a_step) * config.steps + look * looks + preparing * prepared
    plan.reward_calls["noise ceiling"] = int(held * config.generator_steps / config.stages)  # none of extra steps' labels
    size = sum(parameter.numel() for parameter in surrogate.parameters()) * BYTES["weight"]
    plan.disk |= {"surrogate": size, "checkpoint": 3 * size}
    labelled = plan.sources.get("time")
    plan.sources["time"] = f"{labelled} and" if labelled else f"measured on {generator.device} with"
    plan.sources["time"] += f" {len(times)} training steps"
    plan.sources["disk"] = "sizes of latents and weights; the checkpoint is deleted at the end"
    _note_memory(plan, generator)


def _first_prompts(data: LabelledLatents, count: int) -> LabelledLatents:
    """The rows of so many prompts."""
    return data.rows(torch.isin(data.groups, data.groups.unique()[:count]))


def _seconds_of_a_look(
    generator: SDXLGenerator, surrogate: Surrogate, data: LabelledLatents, config: DistillConfig
) -> tuple[float, float]:
    """What scoring a row takes, and what preparing it takes before."""
    table, data = ConditioningTable(generator, data.prompts), data.prepared(surrogate.backbone)
    first, again = (_timed(lambda: predict(surrogate, data, table, bf16=config.bf16)) / len(data) for _ in range(2))
    return again, max(0.0, first - again) if surrogate.backbone.prepares else 0.0


def probe_tuning(plan: Plan, job: TuningJob, *, done: int = 0) -> None:
    """Tune for a few steps as the run would, and scale to those that are not `done`."""
    config, settings = job.config, job.method[1]
    steps = min(config.steps, getattr(settings, "adapt_every", 2) or 2)
    small = replace(config, steps=steps, validation_samples=EVALUATED, evaluate_every=steps, ema_decay=config.ema_decay)
    trainer = Trainer(
        job.generator,
        job.reward,
        job.prompts[:TUNING_PROMPTS],
        small,
        job.method,
        critic=job.critic,
        pictures=job.pictures,
    )
    watched = (trainer.validation_prompts, trainer.validation_seeds)
    validation = _timed(lambda: evaluate(job.generator, job.reward, *watched, one_step=False))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trainer.run()
        ran = time.monotonic() - began - 2 * validation  # one before the first step, one after the last
        Checkpoints(Path(folder)).save(steps, {}, trainer.state())
        checkpoint = sum(file.stat().st_size for file in Path(folder).glob("*.pt"))
    evaluation = _timed(
        lambda: evaluate(
            job.generator,
            job.reward,
            job.test[:EVALUATED],
            [derive_seed(0, "evaluation", row) for row in range(EVALUATED)][: len(job.test)],
            guards=job.guards,
        )
    )
    left = max(0, config.steps - done)
    validations = -(-left // config.evaluate_every) + (done == 0)
    samples = min(config.validation_samples, max(1, len(job.prompts) // 4))
    stages = min(2, job.generator.num_steps)
    plan.seconds["training"] = max(0.0, ran) / steps * left
    plan.seconds["validation"] = validation / len(watched[0]) * samples * validations
    plan.seconds["evaluation"] = 2 * evaluation / min(EVALUATED, len(job.test)) * len(job.test)
    plan.reward_calls["training"] = round(trainer.meter.calls / steps * left)
    plan.reward_calls |= {"validation": samples * validations, "evaluation": 2 * stages * len(job.test)}
    plan.disk["checkpoints"] = checkpoint * config.keep
    plan.disk["adapter" if config.tune == "lora" else "pipeline"] = (
        sum(parameter.numel() for parameter in trainer.tuned.parameters) * BYTES["weight"]
    )
    plan.sources["time"] = f"measured on {job.generator.device} with {steps} steps and {EVALUATED} evaluated samples"
    plan.sources["calls"] = f"those of training by the {steps} steps" + (f"; {done} steps are done" if done else "")
    plan.sources["disk"] = "a checkpoint as written by the probe, and the trained weights"
    _note_memory(plan, job.generator)


def unmeasured(plan: Plan, reason: str) -> None:
    """Say why nothing is estimated."""
    for name in ("time", "memory"):
        plan.sources[name] = reason


def why_not(plan: Plan, reward: reward_zoo.Reward | None) -> str:
    """Why nothing may be measured; empty where it may."""
    if plan.missing:
        return f"not on this machine: {', '.join(dict.fromkeys(need.source for need in plan.missing))}"
    if reward is not None and reward.elsewhere:
        return f"{reward.card.name} is answered elsewhere, and a plan asks nobody"
    return ""


def _timed(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def _note_memory(plan: Plan, generator: SDXLGenerator) -> None:
    if generator.device.type == "cuda":
        plan.memory = torch.cuda.max_memory_reserved(generator.device)
        plan.sources["memory"] = f"GPU, the probe's peak with batches of {BATCH}"
    else:
        plan.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if os.uname().sysname == "Darwin" else 1024)
        plan.sources["memory"] = f"the probe's peak with batches of {BATCH}"
