"""The processes that train one surrogate together: one by default, several under `accelerate launch` or `torchrun`.

Every process draws the same global batch from the same streams, looks at its share of the rows, and compares the scores of
all of them, so that the result is that of one process up to the order of sums: the losses weigh pairs across the whole batch,
and a mean of two halves' losses would be another loss.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from surrogate.errors import TeamError

if TYPE_CHECKING:
    from surrogate.model import Surrogate

SHARDED = ("BasicTransformerBlock", "ResnetBlock2D", "TransformerEncoderLayer")  # diffusers' and torch's


@dataclass
class Team:
    """`count` processes, of which this is number `rank`.

    Each holds the whole model (DDP, by accelerate), or with `sharded` a piece of it (FSDP2).
    """

    count: int = 1
    rank: int = 0
    sharded: bool = False
    accelerator: Any = None

    @classmethod
    def gather(cls, *, sharded: bool = False) -> Team:
        """The processes that were launched together.

        Raises:
            TeamError: `sharded`, and there is one process alone.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            if sharded:
                raise TeamError(
                    "--shard spreads weights over several processes, and this is one; start them by accelerate launch"
                )
            return cls()
        from accelerate import Accelerator

        accelerator = Accelerator()
        return cls(accelerator.num_processes, accelerator.process_index, sharded, accelerator)

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes are here."""
        if self.accelerator:
            self.accelerator.wait_for_everyone()

    def prepare(
        self, model: Surrogate, optimizer: Callable[[], torch.optim.Optimizer]
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The model, spread over the processes, and its optimizer (made once the weights are where they stay)."""
        if self.sharded:
            _shard(model, self.count, whole=model.backbone.idle_parameters())
            return model, optimizer()
        return self.accelerator.prepare(model, optimizer()) if self.accelerator else (model, optimizer())

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

    def whole_state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """A copy of all weights, on the CPU; where they are sharded, in the process that leads alone."""
        if self.sharded:
            from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

            return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        state = self.accelerator.unwrap_model(model).state_dict() if self.accelerator else model.state_dict()
        return {name: value.to("cpu", copy=True) for name, value in state.items()}


ALONE = Team()


def _shard(model: nn.Module, count: int, whole: set[nn.Parameter]) -> None:
    """FSDP2: the UNet's blocks one by one, so that no more than one is whole at a time, then what is left.

    `whole` are weights that every process keeps: of a decoder, which is used outside the model's own passes, too.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model.to(memory_format=torch.contiguous_format)  # FSDP takes no other
    mesh = init_device_mesh(model.device.type, (count,))
    blocks = [block for block in model.modules() if type(block).__name__ in SHARDED]
    for block in [block for block in blocks if not whole.issuperset(block.parameters())]:
        fully_shard(block, mesh=mesh, ignored_params=whole)
    fully_shard(model, mesh=mesh, ignored_params=whole)
