"""Where generator, surrogate, method and reward meet: a run that is made of loaded things, and its result."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import reward_zoo
from finetune.card import adapter_card
from finetune.config import FinetuneConfig
from finetune.evaluation import Evaluation, compare, evaluate
from finetune.generators.pipeline import SDXLGenerator
from finetune.lcm_anchor import RealPictures
from finetune.lora import save_lora
from finetune.method import Critic, Method
from finetune.pictures import save_before_after, save_compared, validation_grid
from finetune.trackers import Trackers
from finetune.trainer import Trainer
from finetune.verdict import verdict
from reward_zoo.terminal import note, progress
from surrogate.checkpoint import Checkpoints
from surrogate.config import DistillConfig
from surrogate.errors import Ended
from surrogate.folder import SavedSurrogate
from surrogate.labelling import RewardMeter, encode_files
from surrogate.labels import read_labels
from surrogate.runs.folder import RunFolder
from surrogate.runs.state import ended_by_wish
from surrogate.seeding import derive_seed
from surrogate.store import LabelledStore

KEPT_PIXELS = 64 * 512 * 512  # of the final comparison, for its pictures and the distance to base; 64 pictures at least
DIVERSITY_PROMPTS = 48  # of the final comparison's, painted several times
VALIDATION_DIVERSITY_PROMPTS = 12  # of every validation's


@dataclass(frozen=True, kw_only=True)
class TuningJob:
    """Everything a fine-tuning run is made of.

    `reward_spec` is how the reward was asked for; `test` prompts are seen before and after, never in between.
    """

    generator: SDXLGenerator
    reward: reward_zoo.Reward
    reward_spec: str
    prompts: Sequence[str]
    test: Sequence[str]
    config: FinetuneConfig
    method: tuple[type[Method], Any]
    critic: Critic | None = None
    pictures: RealPictures | None = None
    guards: dict[str, reward_zoo.Reward] = field(default_factory=dict)
    trackers: Sequence[str] = ()

    def trainer(self, run: RunFolder, bar: Any, trackers: Trackers) -> Trainer:  # noqa: ANN401 - what `progress` yields
        """A trainer that reports to the run's folder, to a bar and to trackers."""

        def report(record: dict[str, Any]) -> None:
            run.log({"phase": "finetune", **record})
            trackers.log(record, record["step"])
            text = f"validation reward {record['validation_reward']:.3f}" if "validation_reward" in record else ""
            bar(record["step"], record["steps"], text)
            if run.tell("tune", record["step"], record["steps"], leaving=lambda: trainer.leave):
                trainer.leave = True

        def gallery(step: int, found: Evaluation, prompts: Sequence[str]) -> None:
            sheet = validation_grid(found, prompts)
            (run.path / "samples").mkdir(exist_ok=True)
            sheet.save(run.path / "samples" / f"step-{step:08d}.png")
            trackers.picture("validation", sheet, step)

        given = {"critic": self.critic, "pictures": self.pictures, "report": report, "gallery": gallery}
        watched = {"guards": self.guards, "diversity_prompts": VALIDATION_DIVERSITY_PROMPTS}
        trainer = Trainer(self.generator, self.reward, self.prompts, self.config, self.method, **given, **watched)
        return trainer  # a name of its own: `report` looks at it

    @property
    def test_seeds(self) -> list[int]:
        """Of the test prompts, the same before and after, and in every run."""
        return [derive_seed(0, "evaluation", index) for index in range(len(self.test))]

    def evaluate(self, when: str) -> Evaluation:
        """The generator as it is now, on the test prompts; `when` is what the bar says."""
        height, width = self.generator.image_size
        how = {"keep_images": max(64, KEPT_PIXELS // (height * width)), "diversity_prompts": DIVERSITY_PROMPTS}
        with progress(when) as bar:
            reward = RewardMeter(self.reward)  # which a reward that fails does not pass
            return evaluate(self.generator, reward, self.test, self.test_seeds, guards=self.guards, progress=bar, **how)


def real_pictures(
    generator: SDXLGenerator, captioned: Sequence[tuple[Path, str]], teacher: SDXLGenerator | None, *, batch_size: int = 16
) -> RealPictures:
    """(file, prompt) pairs through the generator's autoencoder, cropped about their middle to its size."""
    latents = []
    with progress("encode pictures") as bar:
        for start in range(0, len(captioned), batch_size):
            files = [file for file, _ in captioned[start : start + batch_size]]
            latents.append(encode_files(generator, files).cpu())
            bar(start + len(files), len(captioned))
    return RealPictures(torch.cat(latents), [prompt for _, prompt in captioned], teacher)


def critic_of(saved: SavedSurrogate, reward: reward_zoo.Reward) -> Critic:
    """A saved surrogate with the labels it was trained on, where they still stand."""
    distilled = DistillConfig.from_dict(saved.config["distill"])
    labels = read_labels([LabelledStore.open(path) for path in saved.labels], reward) if saved.labels else None
    return Critic(saved.surrogate, distilled, saved.config["margin"], labels)


def run_finetune(run: RunFolder, job: TuningJob, *, resume: bool = False) -> dict[str, Any]:
    """Tune, export, evaluate before and after: the result of `lasro finetune`. The generator is left as it was found.

    Raises:
        Ended: the process was asked to end; what was done is saved.
    """
    began = time.time()
    trackers = Trackers(job.trackers, run.path, {**job.config.as_dict(), **vars(job.method[1])})
    with ExitStack() as afterwards:
        with progress("tune") as bar:
            trainer = job.trainer(run, bar, trackers)
            afterwards.callback(trainer.tuned.remove)
            checkpoints = Checkpoints(run.path / "checkpoints", job.config.keep)
            if resume:
                trainer.load(checkpoints)
            with leaving_on_signal(trainer):
                trainer.run(checkpoints)
        trackers.finish()
        if trainer.stopped:
            note(f"stopped: {trainer.stopped}")
        trainer.tuned.load_state(trainer.best)
        exported = _export(run, job, trainer)  # before all that may still fail
        run.tell("compare", 0, 1, pausable=False)
        found, calls = _compare(run, job, trainer)
    if "adapter" in exported:
        card = adapter_card(job.generator.preset, job.reward_spec, job.reward.card, job.config, found, trainer.reward_calls)
        (run.path / "adapter" / "README.md").write_text(card)
    result = {
        **found,
        "verdict": verdict(found),
        "method": job.config.method,
        "reward_name": job.reward_spec,
        "reward_calls": trainer.reward_calls,
        "calls": {"training": trainer.meter.calls, "validation": trainer.validation_meter.calls, "evaluation": calls},
        "best_step": trainer.best_step,
        "stopped": trainer.stopped,
        "minutes": (time.time() - began) / 60,
        **exported,
        "samples": str(run.path / "samples" / "before_after.png"),
        "run": str(run.path),
    }
    run.save_summary(result)
    return result


def _compare(run: RunFolder, job: TuningJob, trainer: Trainer) -> tuple[dict[str, Any], int]:
    """The frozen generator against the tuned one, with their pictures, and the reward calls that took."""
    with trainer.tuned.off():
        before = job.evaluate("evaluate before")
    after = job.evaluate("evaluate after")
    save_before_after(before, after, job.test, run.path / "samples")
    save_compared(before, after, job.test, job.test_seeds, run.path / "samples")
    return compare(before, after, job.generator), 2 * int(np.size(before.scores) + np.size(before.one_step))


def _export(run: RunFolder, job: TuningJob, trainer: Trainer) -> dict[str, str]:
    """A LoRA for diffusers; of a fully tuned UNet, the whole pipeline."""
    if job.config.tune == "full":
        job.generator.save_pipeline(run.path / "pipeline")
        return {"pipeline": str(run.path / "pipeline")}
    save_lora(trainer.best, run.path / "adapter")
    return {"adapter": str(run.path / "adapter")}


@contextmanager
def leaving_on_signal(trainer: Trainer) -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM end the run after the step it is in, saved; a second one ends it at once.

    Signals reach a process's main thread alone; a run in another one does not heed them.

    Raises:
        Ended: afterwards, if one came, or who watches the run asked for it.
    """
    came: list[int] = []

    def leave(number: int, _frame: object) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)
        trainer.leave = True
        note("ending after this step; once more to end at once")

    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if trainer.leave and trainer.step < trainer.config.steps and not trainer.stopped:
        raise Ended(came[0]) if came else ended_by_wish()
