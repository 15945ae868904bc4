"""`Surrogate`: backbone and heads, a differentiable stand-in for the true reward in latent space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from surrogate.backbones.base import Backbone
from surrogate.backbones.tuning import tuned_parameters
from surrogate.config import Tune
from surrogate.heads.reader import Reader
from surrogate.types import LatentSpace, TextConditioning


@dataclass(frozen=True)
class Part:
    """One reward that a surrogate predicts: mean and spread of its labels, and its weight in the whole score."""

    name: str
    mean: float
    spread: float
    weight: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


class Surrogate(nn.Module):
    """Predicts the true reward of latents.

    Args:
        backbone: latents and text to feature maps.
        heads: `members` heads for each part in turn, trained on different prompts of the same labels.
        parts: the rewards it predicts; heads work in normalised units, `score` answers in the rewards' own.
        offset: added to the weighted sum of the parts.
        score_time: noise level at which it is asked.
        pessimism: standard deviations of the members that `score` takes off their mean.
        tune: which of the backbone's weights are trained.
    """

    def __init__(
        self,
        backbone: Backbone,
        heads: Sequence[nn.Module],
        *,
        parts: Sequence[Part],
        latent_space: LatentSpace,
        score_time: int,
        offset: float = 0.0,
        pessimism: float = 0.0,
        tune: Tune = "full",
    ) -> None:
        super().__init__()
        self.backbone, self.heads, self.parts = backbone, nn.ModuleList(heads), list(parts)
        self.latent_space, self.score_time, self.offset, self.pessimism = latent_space, score_time, offset, pessimism
        self.tune = tune
        self.blind = backbone.blind or any(isinstance(head, Reader) for head in self.heads)
        self.unfreeze()
        self.to(memory_format=torch.channels_last)

    @property
    def members(self) -> int:
        """Heads a part."""
        return len(self.heads) // len(self.parts)

    @property
    def device(self) -> torch.device:
        """Where it is; what `score` is given must be there too."""
        return self.backbone.alphas_cumprod.device

    def trained_parameters(self) -> list[nn.Parameter]:
        """What distilling and adapting may change."""
        return [*tuned_parameters(self.backbone, self.tune), *self.heads.parameters()]

    def unfreeze(self) -> None:
        """Let `trained_parameters` take gradients, and nothing else."""
        self.requires_grad_(False)
        for parameter in self.trained_parameters():
            parameter.requires_grad_(True)

    def checkpoint_gradients(self) -> None:
        """Compute a UNet's activations twice instead of keeping them; small networks have none worth it."""
        if hasattr(self.backbone, "unet"):
            self.backbone.unet.enable_gradient_checkpointing()

    def features(
        self, latents: torch.Tensor, conditioning: TextConditioning, times: torch.Tensor, noise: torch.Tensor
    ) -> list[torch.Tensor]:
        """The backbone's maps; see `Backbone.forward`. Without the prompt if a head reads."""
        return self.backbone(latents, conditioning.neutral() if self.blind else conditioning, times, noise)

    def looks(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """What each head makes of the maps, before it is asked how well that suits a prompt."""
        members = self.members
        return [head.look(self.backbone.of_member(features, number % members)) for number, head in enumerate(self.heads)]

    def rate(self, looks: Sequence[torch.Tensor], conditioning: TextConditioning) -> torch.Tensor:
        """Normalised scores of B latents, parts×members×B."""
        found = [head.rate(look, conditioning).float() for head, look in zip(self.heads, looks, strict=True)]
        return torch.stack(found).unflatten(0, (len(self.parts), self.members))

    def forward(
        self,
        latents: torch.Tensor,
        conditioning: TextConditioning,
        times: torch.Tensor,
        noise: torch.Tensor,
        rows: torch.Tensor | None = None,
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """`looks`, and their `rate`.

        Args:
            latents: B×4×h×w, clean.
            conditioning: of B prompts; with `rows`, of as many as there are rows.
            times: B noise levels.
            noise: standard normal, as `latents`.
            rows: which latents are rated, one or several times, each under its prompt of `conditioning`.
        """
        if self.blind:  # what is seen does not depend on the prompt: one look for all of them
            looks = self.looks(self.features(latents, conditioning, times, noise))
            return looks, self.rate(looks if rows is None else [look[rows] for look in looks], conditioning)
        given = (latents, times, noise) if rows is None else (latents[rows], times[rows], noise[rows])
        looks = self.looks(self.features(given[0], conditioning, *given[1:]))
        return looks, self.rate(looks, conditioning)

    def score(
        self,
        latents: torch.Tensor,
        conditioning: TextConditioning,
        *,
        rng: torch.Generator | None = None,
        time: int | None = None,
    ) -> torch.Tensor:
        """Scores (B,) in the reward's units, with gradient to the latents.

        With `rng`, the noise of the look is fresh; without, it is the same at every call and for every row. `time` is the
        noise level, `score_time` unless given.
        """
        if rng is None:
            noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(0)).expand_as(latents)
        else:
            noise = torch.randn(latents.shape, generator=rng)
        times = torch.full((len(latents),), self.score_time if time is None else time, device=latents.device)
        floating = latents.dtype if latents.is_floating_point() else torch.float32
        _, found = self(latents, conditioning, times, noise.to(latents.device, floating))
        total = self.offset
        for part, members in zip(self.parts, found, strict=True):
            total = total + part.weight * (members.mean(0) * part.spread + part.mean)
            if self.pessimism and len(members) > 1:
                total = total - abs(part.weight) * part.spread * self.pessimism * members.std(0)
        return total
