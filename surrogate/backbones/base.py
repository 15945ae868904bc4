"""What every backbone does: put noise on latents, and answer with feature maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import nn

from surrogate.types import TextConditioning


class Backbone(nn.Module, ABC):
    """Turns latents, text and a noise level into feature maps.

    Args:
        alphas_cumprod: the training noise schedule, (1000,).
        settings: the arguments that rebuilding it needs, as JSON data.
    """

    kind: ClassVar[str]  # how its settings are rebuilt; see backbones/build.py
    blind: bool = False  # whether it never sees the prompt
    prepares: bool = False  # whether training looks at something other than latents, which can be kept: see `prepare`
    idle: tuple[str, ...] = ()  # beginnings of the names of weights that are never trained: no gradient reaches them
    channels: list[int]  # of each feature map

    def __init__(self, alphas_cumprod: torch.Tensor, **settings: Any) -> None:  # noqa: ANN401 - JSON data
        super().__init__()
        self._settings = settings
        self.register_buffer("alphas_cumprod", alphas_cumprod.clone().float(), persistent=False)

    @abstractmethod
    def forward(
        self, latents: torch.Tensor, conditioning: TextConditioning, times: torch.Tensor, noise: torch.Tensor
    ) -> list[torch.Tensor]:
        """Feature maps, each B×C×h×w, for latents noised to `times`.

        Args:
            latents: clean scaled latents, B×4×h×w.
            conditioning: of B prompts.
            times: B training times in [0, 999].
            noise: standard normal, as `latents`.
        """

    def prepare(self, latents: torch.Tensor) -> torch.Tensor:
        """What training gives to `forward` in place of clean latents, without gradient; what is prepared stays as it is."""
        return latents

    def of_member(self, maps: list[torch.Tensor], member: int) -> list[torch.Tensor]:
        """What the heads of one member of an ensemble see of the maps: all of them, where a network is shared."""
        return maps

    def idle_parameters(self) -> set[nn.Parameter]:
        """Those that `idle` names."""
        return {parameter for name, parameter in self.named_parameters() if name.startswith(self.idle)}

    def settings(self) -> dict[str, Any]:
        """What `backbones.build.rebuild` needs beside the weights, as JSON data."""
        return dict(self._settings)

    def levels(self, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """√ᾱ and σ of B times, each B×1×1×1."""
        alphas = self.alphas_cumprod[times][:, None, None, None]
        return alphas.sqrt(), (1 - alphas).sqrt()

    def noisy(self, latents: torch.Tensor, times: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """√ᾱ·latents + σ·noise."""
        root, sigma = self.levels(times)
        return root * latents + sigma * noise


def config_of(network: nn.Module) -> dict[str, Any]:
    """What a diffusers network is built from, as JSON data, without what the library notes down for itself."""
    return {key: value for key, value in network.config.items() if not key.startswith("_")}


class TimeEmbedding(nn.Module):
    """Training times (B,) → B×width."""

    def __init__(self, width: int, *, frequencies: int = 32) -> None:
        super().__init__()
        exponents = torch.linspace(0, 1, frequencies)
        self.register_buffer("frequencies", 10_000.0**-exponents, persistent=False)
        self.project = nn.Sequential(nn.Linear(2 * frequencies, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, times: torch.Tensor) -> torch.Tensor:
        """Sines and cosines of the times, through a small network."""
        angles = times.float()[:, None] * self.frequencies
        return self.project(torch.cat([angles.sin(), angles.cos()], dim=1))
