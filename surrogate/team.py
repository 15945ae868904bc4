"""The processes that train one surrogate together: one by default, several under `accelerate launch`.

Every process draws the same global batch from the same streams, looks at its share of the rows, and compares the scores of
all of them, so that the result is that of one process up to the order of sums: the losses weigh pairs across the whole batch,
and a mean of two halves' losses would be another loss.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Team:
    """`count` processes, of which this is number `rank`; `accelerator` is accelerate's, None for one process."""

    count: int = 1
    rank: int = 0
    accelerator: Any = None

    @classmethod
    def gather(cls) -> Team:
        """The processes that were launched together."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        from accelerate import Accelerator

        accelerator = Accelerator()
        return cls(accelerator.num_processes, accelerator.process_index, accelerator)

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    @property
    def shards(self) -> bool:
        """Whether each process holds a piece of the weights alone (FSDP)."""
        return self.accelerator is not None and str(self.accelerator.distributed_type).endswith("FSDP")

    def wait(self) -> None:
        """Until all processes are here."""
        if self.accelerator:
            self.accelerator.wait_for_everyone()

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The model and its optimizer as accelerate was configured to spread them: DDP, or FSDP."""
        return self.accelerator.prepare(model, optimizer) if self.accelerator else (model, optimizer)

    def shares(self, count: int) -> list[torch.Tensor]:
        """Each process's row numbers, of `count`."""
        return list(torch.arange(count).tensor_split(self.count))

    def together(self, mine: torch.Tensor, places: Sequence[torch.Tensor]) -> torch.Tensor:
        """All processes' columns (last dimension) at their `places`; the gradient reaches this process's own.

        It is `count` times as large, since the mean over processes, which DDP takes, divides it again.
        """
        if self.count == 1:
            return mine
        longest = max(map(len, places))
        padded = F.pad(mine.detach(), (0, longest - mine.shape[-1])).contiguous()
        everyone = [torch.empty_like(padded) for _ in range(self.count)]
        torch.distributed.all_gather(everyone, padded)
        found = torch.cat([part[..., : len(place)] for part, place in zip(everyone, places, strict=True)], dim=-1)
        whole = torch.empty_like(found)
        whole[..., torch.cat(list(places))] = found
        own = self.count * mine - (self.count - 1) * mine.detach()
        return whole.index_copy(-1, places[self.rank].to(mine.device), own)

    def mean(self, value: torch.Tensor) -> float:
        """The mean of a scalar over the processes."""
        if self.count == 1:
            return value.item()
        total = value.detach().clone().to(self.accelerator.device)
        torch.distributed.all_reduce(total)
        return total.item() / self.count

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients, averaged over the processes."""
        self.accelerator.backward(loss) if self.accelerator else loss.backward()

    def clip(self, parameters: list[nn.Parameter], largest: float) -> None:
        """Bring the norm of the whole gradient down to `largest`."""
        clip = self.accelerator.clip_grad_norm_ if self.accelerator else nn.utils.clip_grad_norm_
        clip(parameters, largest)

    def whole_state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """A copy of all weights, in the process that leads (elsewhere, where they are sharded, it may be empty)."""
        state = self.accelerator.get_state_dict(model) if self.accelerator else model.state_dict()
        return {name: value.clone() for name, value in state.items()}


ALONE = Team()
