"""Where generator, reward and surrogate meet: labelling and distilling, whole, from settings to a result."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import reward_zoo
from reward_zoo.briefing import briefed, facts_of
from reward_zoo.errors import SpecError
from reward_zoo.items import captioned
from reward_zoo.loading import Given, absolute_spec, spec_of
from reward_zoo.options import settings_of
from reward_zoo.terminal import progress
from surrogate.building import settled_for
from surrogate.config import DistillConfig
from surrogate.distillation import Distilled, train_surrogate
from surrogate.fidelity import noise_ceiling
from surrogate.folder import SavedSurrogate, check_labels, load_surrogate, save_surrogate
from surrogate.hindsight import hindsight_of
from surrogate.labelling import RewardMeter
from surrogate.labels import open_store, read_labels, run_label
from surrogate.runs.folder import RunFolder, open_run
from surrogate.sampling import LabelledLatents, split_by_prompt
from surrogate.seeding import stream
from surrogate.store import LabelledStore
from surrogate.team import ALONE, Team
from surrogate.types import Generator

DISTILL = "distill"  # what the training of a run's surrogate is called in its metrics and checkpoints


def margin_of(reward: reward_zoo.Reward, spread: float) -> float:
    """Scores nearer than this are not told apart: 0.2 of a [0, 1] reward's range, else half the labels' spread."""
    return 0.2 if reward.card.range == (0.0, 1.0) else 0.5 * spread


class Job(Protocol):
    """What labels and trains: `run_distill` with settings of its own."""

    settings: Any  # what config.yaml says of it, by name

    def __call__(self, *given: Any) -> dict[str, Any]:  # noqa: ANN401 - as run_distill
        """The result of `lasro distill`."""


def distill(
    reward: Given,
    generator: Generator,
    prompts: Sequence[str] = (),
    *,
    out: str | Path,
    data: Sequence[str | Path] = (),
    images: str | Path | None = None,
    job: Job | None = None,
    overwrite: bool = False,
    resume: bool = False,
    **settings: Any,  # noqa: ANN401 - as DistillConfig's fields
) -> SavedSurrogate:
    """Distil a reward into a surrogate in a generator's latent space, as `lasro distill` does; the same run folder is written.

    Args:
        reward: a spec, a function `(images, prompts) -> scores`, or a loaded reward. Later runs load it by what it is called
            (`reward_zoo.loading.spec_of`); what has no name that can be loaded must be given to them again.
        generator: whose samples are labelled and whose latents are read: `finetune.load_generator`.
        prompts: to sample; some of them are kept to measure.
        out: run folder; afterwards `out/surrogate` holds the surrogate.
        data: train on the labels of these stores, or runs of `lasro label`, and make no new ones.
        images: a folder or table of captioned real pictures to learn from too.
        job: what labels and trains: `finetune.in_rounds(2)` has later labels made where tuning will take the generator.
            None: `run_distill`.
        overwrite: delete what stands at `out` first.
        resume: go on with the run at `out`.
        settings: fields of `DistillConfig`: samples, noises, backbone, steps, …

    Returns:
        The surrogate, with what was measured on prompts it never saw as `fidelity`.

    Raises:
        LasroError: an argument is wrong; messages name it as the flag of `lasro distill`.
        Ended: `lasro watch` asked it to end; what was done is saved.
    """
    if bool(data) == bool(prompts):
        raise SpecError("distill: give prompts, or data of stores that have labels")
    if data and (images or job):
        raise SpecError(f"distill: {'images' if images else 'job'} goes with prompts; stores hold their pictures and labels")
    out, spec, scorer = Path(out), spec_of(reward), reward_zoo.load(reward)
    own = {"extra_steps": generator.extra_steps, "generator_steps": generator.num_steps}
    config = settings_of(DistillConfig, own | settings)
    pictures = captioned(Path(images)) if images else []
    stores = [open_store(Path(path)) for path in data]
    for store in stores:
        check_labels(store, generator)
    facts = facts_of(*(store.prompt_table for store in stores))
    scorer = briefed(scorer, facts, [*prompts, *(prompt for _, prompt in pictures)])
    reads = [*data, images, *((spec.split(":")[0],) if ":" in spec else ())]
    with open_run(out, overwrite=overwrite, resume=resume, reads=reads) as run:
        told = {name: value for name, value in config.as_dict().items() if name != "generator_steps"}
        told |= vars(job.settings) if job else {}
        run.save_config({"reward": [spec], "generator": generator.name, "data": [*map(str, data)], **told}, generator.device)
        if stores:
            run_training(run, generator, scorer, spec, stores, config)
        else:
            (job or run_distill)(run, generator, scorer, spec, prompts, config, pictures)
    return load_surrogate(out / "surrogate")


def run_distill(
    run: RunFolder,
    generator: Generator,
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
    return run_training(run, generator, reward, spec, [store], config, team, began=began, spent={"reward_calls": calls})


@dataclass(frozen=True)
class Fitted:
    """A surrogate trained on stores, with what it was measured on and how it was trained."""

    distilled: Distilled
    held_out: LabelledLatents
    config: DistillConfig
    margin: float
    data: LabelledLatents  # all labels


def fit(
    run: RunFolder,
    generator: Generator,
    reward: reward_zoo.Reward,
    stores: Sequence[LabelledStore],
    config: DistillConfig,
    team: Team = ALONE,
    *,
    phase: str = DISTILL,
) -> Fitted:
    """Train on labels that are there; what was cut off goes on from the run's checkpoint of that phase."""
    data = read_labels(stores, reward)
    training, held_out = split_by_prompt(data, config.held_out, stream(config.seed, "split"))
    config = settled_for(generator, config, perceives=data.perceives_text, labels=len(training))
    asked = (held_out.stages == 1) | (held_out.stages == 2)  # fidelity is asked for where the generator will be tuned
    held_out = held_out.rows(asked)
    margin = margin_of(reward, data.scores.std().item())
    with progress("distil") if team.leads else nullcontext() as bar:

        def report(record: dict[str, Any]) -> None:
            run.log({"phase": phase, **record})
            text = f"accuracy {record['accuracy']:.3f}" if "accuracy" in record else ""
            bar(record["step"], record["steps"], text)
            run.heed(DISTILL, record["step"], record["steps"], pausable=team.count == 1)  # others would wait in vain

        distilled = train_surrogate(
            generator,
            training,
            held_out,
            config,
            margin=margin,
            hindsight=hindsight_of(reward, config.hindsight),
            report=report,
            checkpoint=checkpoint_of(run, phase),
            team=team,
        )
    return Fitted(distilled, held_out, config, margin, data)


def checkpoint_of(run: RunFolder, phase: str) -> Path:
    """Where a training that was cut off goes on from."""
    return run.path / "checkpoints" / f"{phase}.pt"


def run_training(
    run: RunFolder,
    generator: Generator,
    reward: reward_zoo.Reward,
    spec: str,
    stores: Sequence[LabelledStore],
    config: DistillConfig,
    team: Team = ALONE,
    *,
    began: float | None = None,
    spent: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Train on labels that are there, measure, save: the result of `lasro distill --data`; of a team, only where it leads.

    `began` and `spent` tell of what was done for it before: when that was begun, and its reward calls by name.
    """
    began = began or time.time()
    fitted = fit(run, generator, reward, stores, config, team)
    if not team.leads:
        return {}
    fidelity, held_out, margin, referee = fitted.distilled.held_out, fitted.held_out, fitted.margin, RewardMeter(reward)
    fidelity["pairwise"]["ceiling"] = noise_ceiling(
        generator,
        referee,
        held_out.latents,
        held_out.row_prompts(),
        held_out.scores.numpy(),
        held_out.groups.numpy(),
        margin,
    )
    fidelity |= {
        "labels": len(fitted.data),
        "held_out": len(held_out),
        "prompts": len(fitted.data.prompts),
        "step": fitted.distilled.step,
    }
    folder = run.path / "surrogate"
    labels = [os.path.relpath(store.folder, folder) for store in stores]
    facts = {"reward": absolute_spec(spec), "generator": generator.name, "margin": margin, "labels": labels}
    facts |= {
        "generators": list(dict.fromkeys(store.painter for store in stores)),
        "teacher_license": reward.card.license,
    }
    save_surrogate(fitted.distilled.surrogate, folder, fidelity=fidelity, distill=fitted.config.as_dict(), **facts)
    result = {
        "reward": spec,
        "surrogate": str(folder),
        "reward_calls": 0,
        "measuring_calls": referee.calls,
        **fidelity,
        "backbone": fitted.config.backbone,
        "minutes": (time.time() - began) / 60,
        "run": str(run.path),
        **(spent or {}),
    }
    run.save_summary(result)
    checkpoint_of(run, DISTILL).unlink(missing_ok=True)  # as large as the surrogate three times over
    return result
