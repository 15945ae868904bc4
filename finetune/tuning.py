"""The weights that are tuned: a LoRA on the UNet or the whole of it, their average, and the frozen ones beneath."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from finetune.config import FinetuneConfig
from finetune.lora import attach_lora, lora_off, lora_state, set_lora_state
from surrogate.seeding import derive_seed


class TunedWeights:
    """What an optimiser may change in a UNet, by `config.tune`; `lora_targets` where the config leaves them open.

    `parameters` start as the frozen ones: a fresh LoRA changes nothing.
    """

    def __init__(self, unet: torch.nn.Module, config: FinetuneConfig, lora_targets: str = "attention") -> None:
        self.unet, self.full = unet, config.tune == "full"
        if self.full:
            self.parameters = list(unet.requires_grad_(True).parameters())
            self._frozen = [parameter.detach().clone() for parameter in self.parameters]
        else:
            seed = derive_seed(config.seed, "lora")
            targets = config.lora_targets or lora_targets
            self.parameters = attach_lora(unet, rank=config.lora_rank, targets=targets, seed=seed)

    @contextmanager
    def off(self) -> Iterator[None]:
        """Inside, the UNet is the frozen one."""
        if not self.full:
            with lora_off(self.unet):
                yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        """Exchange tuned and frozen weights without copying either."""
        for number, parameter in enumerate(self.parameters):
            self._frozen[number], parameter.data = parameter.data, self._frozen[number]

    def remove(self) -> None:
        """Leave the UNet as it was found."""
        if not self.full:
            self.unet.unload_lora()
            return
        for parameter, frozen in zip(self.parameters, self._frozen, strict=True):
            parameter.data = frozen
        self.unet.requires_grad_(False)

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of them."""
        if self.full:
            return {name: tensor.detach().clone() for name, tensor in self.unet.state_dict().items()}
        return lora_state(self.unet)

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Put weights of `state` back."""
        if self.full:
            self.unet.load_state_dict(state)
        else:
            set_lora_state(self.unet, state)


class AveragedParameters:
    """An exponential moving average of parameters: steadier than the last step of a climb.

    The average forgets slowly from the start on: step n keeps min(decay, (1 + n) / (10 + n)) of it.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], decay: float) -> None:
        self.parameters, self.decay, self.seen = parameters, decay, 0
        self.average = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take the present values in."""
        self.seen += 1
        keep = min(self.decay, (1 + self.seen) / (10 + self.seen))
        for average, parameter in zip(self.average, self.parameters, strict=True):
            average.lerp_(parameter, 1 - keep)

    @torch.no_grad()
    def load(self, average: list[torch.Tensor], seen: int) -> None:
        """Take up an average, wherever it lies, of so many updates."""
        self.seen = seen
        for mine, kept in zip(self.average, average, strict=True):
            mine.copy_(kept)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the parameters are their average."""
        present = [parameter.detach().clone() for parameter in self.parameters]
        self._fill(self.average)
        try:
            yield
        finally:
            self._fill(present)

    @torch.no_grad()
    def _fill(self, values: list[torch.Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)
