"""Several small networks that share nothing: what one of them is wrong about, the others need not be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from surrogate.backbones.base import Backbone
from surrogate.types import TextConditioning


class Crowd(Backbone):
    """Networks of one kind, one for each member of an ensemble; heads of a member see its maps alone."""

    kind = "crowd"

    def __init__(self, networks: Sequence[Backbone]) -> None:
        first = networks[0]
        super().__init__(first.alphas_cumprod)
        self.networks = nn.ModuleList(networks)
        self.channels, self.blind = first.channels, first.blind

    def settings(self) -> dict[str, Any]:
        """How many, and what each is."""
        return {"count": len(self.networks), "network": {"kind": self.networks[0].kind, **self.networks[0].settings()}}

    def forward(
        self, latents: torch.Tensor, conditioning: TextConditioning, times: torch.Tensor, noise: torch.Tensor
    ) -> list[torch.Tensor]:
        """The maps of one after the other; see `Backbone.forward`."""
        return [found for network in self.networks for found in network(latents, conditioning, times, noise)]

    def of_member(self, maps: list[torch.Tensor], member: int) -> list[torch.Tensor]:
        """Those of one network."""
        each = len(self.channels)
        return maps[member * each : (member + 1) * each]
