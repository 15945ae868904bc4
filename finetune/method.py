"""What a fine-tuning method is: a source of losses. The trainer does the rest, alike for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from finetune.config import FinetuneConfig, Schedule
from finetune.generators.pipeline import SDXLGenerator
from finetune.lcm_anchor import RealPictures
from finetune.tuning import TunedWeights
from surrogate.config import DistillConfig
from surrogate.labelling import RewardMeter
from surrogate.model import Surrogate
from surrogate.sampling import ConditioningTable, LabelledLatents


@dataclass(frozen=True)
class Critic:
    """A surrogate and what is known of it, for methods that climb one."""

    surrogate: Surrogate
    distilled: DistillConfig  # how it was trained, which is how it is adapted
    margin: float  # scores nearer than this are not told apart
    labels: LabelledLatents | None = None  # what it was trained on


@dataclass(frozen=True)
class Workshop:
    """What every method works with."""

    generator: SDXLGenerator
    tuned: TunedWeights  # of its UNet
    meter: RewardMeter  # the true reward; every call counts
    prompts: list[str]
    table: ConditioningTable  # of the prompts
    config: FinetuneConfig
    critic: Critic | None = None
    pictures: RealPictures | None = None

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Of one latent."""
        space = self.generator.latent_space
        return space.channels, space.height, space.width


class Method(ABC):
    """Base of all methods. A module of `finetune.methods` calls its own `Method`, beside its `Settings`."""

    needs_surrogate: ClassVar[bool] = False
    learning_rate: ClassVar[float] = 1e-4  # where the user gives none, here and below
    lr_scheduler: ClassVar[Schedule] = "constant"

    def __init__(self, shop: Workshop, settings: Any) -> None:  # noqa: ANN401 - the module's own Settings
        self.shop, self.settings = shop, settings
        self.metrics: dict[str, float] = {}  # of the last step, for the log

    @abstractmethod
    def losses(self, step: int) -> Iterator[torch.Tensor]:
        """The losses of step `step` (from 1). The weights take one step down each before the next is asked for.

        All that is drawn comes from streams named by `shop.config.seed` and `step`, so that a resumed run goes on as if it
        had never stopped. Reward calls go through `shop.meter`.
        """

    @property
    def promised(self) -> float:
        """What the method believes the two-step reward to be: compared with the true one, it shows cheating. NaN: no belief."""
        return float("nan")

    def state(self) -> dict[str, Any]:
        """Tensors and plain data that a resumed run needs, beyond the generator's weights."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:  # noqa: B027 - most methods keep nothing
        """Take up what `state` gave."""
