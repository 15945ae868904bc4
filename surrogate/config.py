"""Settings of labelling and distilling, with their checks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from reward_zoo.errors import SpecError, did_you_mean

SAFE_ACCURACY = 0.6  # on held-out pairs: a surrogate below it is not to be climbed

LOSS_NAMES = ("bradley-terry-all", "bradley-terry-extremes", "listwise", "regression")
BACKBONE_NAMES = ("auto", "full", "encoder", "sdxl", "latent-cnn", "pixel-cnn", "latent-vit", "pixel-timm", "lrm-xl")
UNETS = ("full", "encoder", "sdxl")
Tune = Literal["full", "lora", "head"]
TUNE_MODES: tuple[str, ...] = get_args(Tune)
READER_NAMES = ("auto", "columns", "slots")
POSITIVE = (
    *("samples", "noises", "label_batch_size", "lora_rank", "members"),
    *("prompts_per_batch", "steps", "patience"),
)
# What trains each kind of network well, where the user gives nothing else (benchmarks/LOG.md).
RECIPE = {"steps": 600, "prompts_per_batch": 12, "rows_per_prompt": 0, "patience": 4}
# Its patience never ends: before a reader by columns reads, it orders less than what is guessed from the stage at first.
READING = {"steps": 1500, "prompts_per_batch": 24, "rows_per_prompt": 3, "patience": 12}
RECIPES = {"latent-cnn": READING, "pixel-cnn": READING}
LARGE_RECIPE = RECIPE | {"prompts_per_batch": 4, "rows_per_prompt": 4}  # of SDXL's own UNet, which fits no card otherwise
# Times through its labels that a network is trained at least: many labels take more steps.
EPOCHS = {"latent-cnn": 15, "pixel-cnn": 15}
EVALUATIONS = 12  # on the held-out prompts, over the whole training
Rules = tuple[tuple[bool, str, str], ...]  # whether it is broken, the fields it is about, what is right


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """How a surrogate is labelled and trained.

    Raises:
        SpecError: a value out of its range; the message names the flag.
    """

    # labels
    samples: int = 3200  # reward calls spent on labels: prompts x noises x stages (z1, z2 and the extra one)
    generator_steps: int = 2  # network calls of the generator's samples (Generator.num_steps): a label for each
    noises: int = 4  # initial noises a prompt (the paper's N_s is 6)
    extra_steps: int = 0  # also label samples of so many network calls, to know what lies beyond two steps; 0: none
    held_out: float = 0.12  # share of the prompts kept for fidelity and early stopping
    label_batch_size: int = 64
    # the network
    backbone: str = "auto"  # see backbones/build.py; auto: latent-cnn, which reads, where the reward perceives text, else full
    backbone_weights: str | None = None  # an SDXL checkpoint other than the generator's own
    backbone_depth: int = 0  # with encoder: stop after so many down stages; 0 keeps all
    reader: str = "auto"  # how a blind network reads text: by columns (one line), or by slots; auto: by the picture
    tune: Tune = "full"
    lora_rank: int = 32  # with tune=lora
    members: int = 1  # heads a reward, each trained on its own two thirds of the prompts; latent-cnn: a network each as well
    pessimism: float = 0.0  # standard deviations of the members that a score takes off their mean
    # training
    losses: tuple[str, ...] = ("bradley-terry-all", "regression")
    stages_apart: bool = False  # compare z1 only with z1, z2 only with z2
    hindsight: float = 0.5  # share of the rows shown under another prompt as well, where the reward perceives something
    label_smoothing: float = 0.1  # of the letters that a reader learns: one that is sure of a wrong letter has no gradient
    learning_rate: float | None = None  # peak; None: what suits the network, see building.default_learning_rate
    weight_decay: float = 0.05
    prompts_per_batch: int | None = None  # None, here and below: by the network, see RECIPES
    rows_per_prompt: int | None = None  # of each prompt's samples, so many drawn anew for each batch; 0: all of them
    steps: int | None = None  # None: by the network and the number of labels, see EPOCHS
    patience: int | None = None  # evaluations (of twelve) without a better one before training stops; None: by the network
    max_time: int = 200  # noise levels seen in training: uniform on [0, max_time); 1: clean latents only
    max_shift: int = 0  # training moves latents by up to so many columns, left or right
    score_time: int = 0  # noise level at which the surrogate is asked
    bf16: bool = True  # run the network in bfloat16
    gradient_checkpointing: bool = False  # a large UNet always does
    compile: bool = False  # torch.compile the backbone
    seed: int = 0

    def __post_init__(self) -> None:
        for name in POSITIVE:
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise SpecError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least 1")
        _check_backbone(self.backbone)
        for wrong, flag, why in (*self._label_rules(), *self._network_rules(), *self._training_rules()):
            if wrong:
                raise SpecError(f"{', '.join(self._given(name) for name in flag.split())}: {why}")

    def _given(self, name: str) -> str:
        value = getattr(self, name)
        flag = "loss" if name == "losses" else name.replace("_", "-")
        return f"--{flag} {', '.join(value) if isinstance(value, tuple) else value}"

    def _label_rules(self) -> Rules:
        extra = self.extra_steps
        return (
            (self.noises < 2, "noises", "pairs need at least 2 noises a prompt"),
            (extra != 0 and not 3 <= extra <= 50, "extra_steps", "must be 0 (none) or from 3 to 50"),
            (extra != 0 and self.generator_steps == 1, "extra_steps", "must be 0: the generator has one step"),
            (not 0 < self.held_out < 1, "held_out", "must lie between 0 and 1"),
        )

    def _network_rules(self) -> Rules:
        depth, weights = self.backbone_depth, self.backbone_weights
        return (
            (depth < 0 or (depth > 0 and self.backbone != "encoder"), "backbone_depth", "goes with --backbone encoder, from 0"),
            (bool(weights) and self.backbone not in UNETS, "backbone_weights", f"goes with --backbone {' or '.join(UNETS)}"),
            (self.tune not in TUNE_MODES, "tune", f"must be one of {', '.join(TUNE_MODES)}"),
            (self.reader not in READER_NAMES, "reader", f"must be one of {', '.join(READER_NAMES)}"),
            (
                self.pessimism < 0 or (self.pessimism > 0 and self.members < 2),
                "pessimism",
                "is at least 0, and needs --members 2",
            ),
        )

    def _training_rules(self) -> Rules:
        known = bool(self.losses) and not set(self.losses) - set(LOSS_NAMES)
        times = 0 <= self.score_time < self.max_time <= 1000
        return (
            (not known, "losses", f"give one or several of {', '.join(LOSS_NAMES)}"),
            (self.learning_rate is not None and not self.learning_rate > 0, "learning_rate", "must be above 0"),
            (
                self.rows_per_prompt is not None and (self.rows_per_prompt < 0 or self.rows_per_prompt == 1),
                "rows_per_prompt",
                "must be 0 (all) or at least 2",
            ),
            (not 0 <= self.label_smoothing < 1, "label_smoothing", "is a share, from 0 to below 1"),
            (self.max_shift > 0 and self.backbone == "pixel-cnn", "max_shift backbone", "it moves pictures by itself"),
            (self.max_shift < 0, "max_shift", "must be at least 0 (latents stay in place)"),
            (not 0 <= self.hindsight <= 1, "hindsight", "is a share, from 0 (off) to 1"),
            (not times, "score_time max_time", "need 0 <= score < max <= 1000"),
        )

    @property
    def stages(self) -> int:
        """Labels a (prompt, seed) pair costs."""
        return self.generator_steps + bool(self.extra_steps)

    @property
    def evaluate_every(self) -> int:
        """Steps between evaluations on held-out prompts."""
        return -(-(self.steps or RECIPE["steps"]) // EVALUATIONS)

    def settled(self, *, perceives: bool, labels: int = 0, large: bool = False) -> DistillConfig:
        """The same with nothing left open.

        Args:
            perceives: whether the reward tells what it read, which resolves `auto`.
            labels: how many are trained on, which says how many steps that takes.
            large: whether a UNet is too large for batches and activations as small ones have them.
        """
        backbone = {"auto": "latent-cnn" if perceives else "full", "sdxl": "full"}.get(self.backbone, self.backbone)
        large = large and backbone in UNETS
        recipe = LARGE_RECIPE if large else RECIPES.get(backbone, RECIPE)
        left = {name: value for name, value in recipe.items() if getattr(self, name) is None}
        settled = replace(self, backbone=backbone, gradient_checkpointing=self.gradient_checkpointing or large, **left)
        if self.steps is None and settled.rows_per_prompt:
            a_step = settled.prompts_per_batch * settled.rows_per_prompt
            settled = replace(settled, steps=max(settled.steps, EPOCHS.get(backbone, 0) * labels // a_step))
        return settled

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DistillConfig:
        """The inverse of `as_dict`."""
        return cls(**{**data, "losses": tuple(data["losses"])})


def _check_backbone(name: str) -> None:
    kind, _, argument = name.partition(":")
    if kind not in BACKBONE_NAMES:
        raise SpecError(f"--backbone {name}: no such backbone; {did_you_mean(kind, BACKBONE_NAMES)}")
    needs = kind in ("pixel-timm", "lrm-xl")
    if needs != bool(argument):
        need = "needs an argument, as pixel-timm:resnet18 or lrm-xl:FOLDER" if needs else "takes no argument"
        raise SpecError(f"--backbone {name}: {kind} {need}")
