"""What a fine-tuning run is asked for, and `finetune`, which does it.

All that can be checked is checked before anything large is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

from finetune.config import FinetuneConfig
from finetune.errors import ConfigError
from finetune.generators.pipeline import SDXLGenerator, load_generator
from finetune.generators.preset import Preset, find_preset
from finetune.guards import load_guards
from finetune.jobs import TuningJob, critic_of, real_pictures, run_finetune
from finetune.methods import load_method
from finetune.prompts import load_prompts, prompts_of
from reward_zoo.briefing import briefed, facts_of
from reward_zoo.errors import SpecError, did_you_mean
from reward_zoo.items import captioned
from reward_zoo.loading import Given, spec_of
from reward_zoo.workers import RewardWorkers, in_workers
from surrogate.folder import SavedSurrogate, check_latent_space, load_surrogate
from surrogate.runs.folder import check_out, open_run

EVAL_SAMPLES = 256  # held-out images to compare, before and after
_OF_CONFIG = frozenset(field.name for field in fields(FinetuneConfig))


def finetune(
    surrogate: str | Path | SavedSurrogate | None = None,
    *,
    out: str | Path,
    overwrite: bool = False,
    resume: bool = False,
    **settings: Any,  # noqa: ANN401 - as TuningOrder's arguments and FinetuneConfig's fields
) -> dict[str, Any]:
    """Tune a two-step generator on a reward, as `lasro finetune` does; the same run folder is written.

    Args:
        surrogate: what is climbed: a surrogate, its folder, or its hub id. Methods that ask the reward itself need none.
        out: run folder; afterwards `out/adapter` holds the LoRA.
        overwrite: delete what stands at `out` first.
        resume: go on with the run at `out`.
        settings: the arguments of `TuningOrder` (reward, generator, prompts, guards, method_settings, …) and the fields of
            `FinetuneConfig` (method, steps, learning_rate, lora_rank, seed, …).

    Returns:
        The run's summary: `reward`, `guards`, `diversity` and others before and after, each with the interval of its change;
        the `verdict` on cheating; `reward_calls`; and where `adapter` (or `pipeline`) and `samples` are.

    Raises:
        LasroError: an argument is wrong; messages name it as the flag of `lasro finetune`.
        Ended: Ctrl-C, SIGTERM or `lasro watch` asked it to end; what was done is saved.
    """
    named = ("generator", "prompts", "eval_prompts", "images", "teacher")
    reads = [getattr(surrogate, "folder", surrogate), *(settings.get(name) for name in named)]
    writing = {"overwrite": overwrite, "resume": resume, "reads": reads}
    check_out(Path(out), **writing)
    ours = [*signature(TuningOrder).parameters, *_OF_CONFIG]
    for name, value in settings.items():
        if name not in ours:
            raise SpecError(f"{name}={value!r}: finetune has no setting {name!r}; {did_you_mean(name, ours)}")
    config = FinetuneConfig(**{name: value for name, value in settings.items() if name in _OF_CONFIG})
    asked = {name: value for name, value in settings.items() if name not in _OF_CONFIG}
    order = TuningOrder(config, surrogate=surrogate, **asked)
    job = order.load()
    with open_run(Path(out), **writing) as run:
        run.save_config({**config.as_dict(), **order.asked, **order.found(job)}, job.generator.device)
        return run_finetune(run, job, resume=resume)


class TuningOrder:
    """Names and settings of a run; `load` makes the job of them.

    Args:
        config: what all methods share.
        surrogate: for methods that climb one.
        reward: a spec, a function, or a loaded reward. None: the one that the surrogate was distilled from.
        generator: a preset's name, your own preset (.yaml), a pipeline folder, a hub id, or a loaded one.
            None: the surrogate's.
        prompts: to train on: a list, the name of a built-in set, or a file. None: the preset's.
        eval_prompts: held out, for before and after; likewise.
        eval_samples: how many of those.
        method_settings: the method's own settings, by name.
        guards: specs of rewards that watch. None: `artifact_guard` and a second opinion.
        images: folder or table of captioned real pictures, for methods that have a use for them.
        teacher: generator whose UNet teaches the LCM loss. None: the frozen one.
        trackers: where numbers go beside the run's folder: tensorboard, wandb, …
        device: see `reward_zoo.devices.pick_device`.
        precision: this and the following as `load_generator`.
        gradient_checkpointing: see there.
        text_cache: see there.

    Raises:
        LasroError: one of them is wrong, or needs another.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        *,
        surrogate: str | Path | SavedSurrogate | None = None,
        reward: Given | None = None,
        generator: str | Path | SDXLGenerator | None = None,
        prompts: str | Path | Sequence[str] | None = None,
        eval_prompts: str | Path | Sequence[str] | None = None,
        eval_samples: int = EVAL_SAMPLES,
        method_settings: Mapping[str, Any] | None = None,
        guards: Sequence[str] | None = None,
        images: str | Path | None = None,
        teacher: str | None = None,
        trackers: Sequence[str] = (),
        device: str = "auto",
        precision: str = "float32",
        gradient_checkpointing: bool | None = None,
        text_cache: Path | None = None,
    ) -> None:
        if eval_samples < 1:
            raise ConfigError(f"--eval-samples {eval_samples}: must be at least 1")
        self.config, self.guards, self.trackers, self.device = config, guards, trackers, device
        self.images, self.teacher, self.eval_samples = images, teacher, eval_samples
        self.loading = {
            "precision": precision,
            "gradient_checkpointing": gradient_checkpointing,
            "text_cache": Path(text_cache) if text_cache else None,
        }
        texts = {name: str(value) for name, value in (method_settings or {}).items() if value is not None}
        self.method = load_method(config.method, texts)
        if self.method[0].needs_surrogate and surrogate is None:
            raise SpecError(
                f"--method {config.method}: climbs a surrogate; give --surrogate, the folder that lasro distill wrote"
            )
        if surrogate is None and reward is None:
            raise SpecError(f"--method {config.method}: give --reward SPEC")
        # A surrogate that is handed over is copied: tuning adapts it, and the caller's stays as it is.
        self.saved = load_surrogate(surrogate) if isinstance(surrogate, str | Path) else deepcopy(surrogate)
        self.reward = reward if reward is not None else self.saved.config["reward"]
        self.generator = generator or (self.saved.config["generator"] if self.saved else "tiny-signs")
        preset = self.generator.preset if isinstance(self.generator, SDXLGenerator) else find_preset(str(self.generator))
        self.prompts = _texts(prompts, preset, "prompts")
        self.eval_prompts = _texts(eval_prompts, preset, "eval_prompts")
        self.facts = facts_of(*(given for given in (prompts, eval_prompts) if isinstance(given, str | Path)))

    @property
    def asked(self) -> dict[str, Any]:
        """What has no place in `FinetuneConfig`, as config.yaml holds it; lists of prompts are not noted down."""
        surrogate = str(self.saved.folder) if self.saved else None
        named = {"surrogate": surrogate, "eval_samples": self.eval_samples, "images": self.images, "teacher": self.teacher}
        return {name: str(value) if isinstance(value, Path) else value for name, value in {**named, **self.loading}.items()}

    @property
    def reward_spec(self) -> str:
        """The reward, as runs note it down."""
        return spec_of(self.reward)

    def load(self, workers: RewardWorkers | None = None) -> TuningJob:
        """Load everything; `workers` score, where there are any.

        Raises:
            LasroError: something cannot be loaded, or does not fit.
        """
        asked = [*self.prompts, *self.eval_prompts]
        guards = load_guards(self.guards, self.reward_spec, workers)
        scorer = briefed(in_workers(self.reward, workers), self.facts, asked)
        loaded = self._generator(self.generator)
        if self.saved:
            check_latent_space(self.saved.surrogate, loaded)
        pairs = captioned(Path(self.images)) if self.images else []
        climbs = self.saved is not None and self.method[0].needs_surrogate
        return TuningJob(
            generator=loaded,
            reward=scorer,
            reward_spec=self.reward_spec,
            prompts=self.prompts,
            test=self.eval_prompts[: self.eval_samples],
            config=self.config,
            method=self.method,
            critic=critic_of(self.saved, scorer) if climbs else None,
            pictures=real_pictures(loaded, pairs, self._generator(self.teacher) if self.teacher else None) if pairs else None,
            guards={name: briefed(guard, self.facts, asked) for name, guard in guards.items()},
            trackers=self.trackers,
        )

    def found(self, job: TuningJob) -> dict[str, Any]:
        """What was left open and is known now, as a run's config.yaml holds it."""
        generator = job.generator.name if isinstance(self.generator, SDXLGenerator) else str(self.generator)
        settings = {"method_settings": vars(self.method[1])}
        return {"reward": self.reward_spec, "generator": generator, "guards": list(job.guards), **settings}

    def _generator(self, given: str | Path | SDXLGenerator) -> SDXLGenerator:
        return given if isinstance(given, SDXLGenerator) else load_generator(str(given), self.device, **self.loading)


def _texts(given: str | Path | Sequence[str] | None, preset: Preset | None, field: str) -> list[str]:
    if given is None or given == "":
        return prompts_of(preset, field, f"--{field.replace('_', '-')}")
    return load_prompts(str(given)) if isinstance(given, str | Path) else list(given)
