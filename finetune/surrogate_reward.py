"""`surrogate:PATH`: a distilled surrogate as a reward of pictures again, with a gradient to the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reward_zoo.card import RewardCard
from reward_zoo.prompts import broadcast
from reward_zoo.reward import Reward, RewardInputs, as_scores
from surrogate.errors import LatentSpaceError

if TYPE_CHECKING:
    import torch

    from reward_zoo.scores import Scores


class SurrogateReward(Reward):
    """Pictures go through the VAE of the generator the surrogate was distilled on, prompts through its text encoders."""

    argument: ClassVar[str] = "path"
    card = RewardCard(
        name="surrogate",
        summary="a distilled surrogate as a reward: surrogate:runs/ocr/surrogate",
        range=(float("-inf"), float("inf")),
        typical=(0.5, 0.3),
        differentiable=True,
        needs=("prompt",),
        image_size="any; resized to what its generator paints",
        source="a folder that lasro distill wrote; its README.md says how well it knows its teacher",
        license="that of the teacher and of the generator",
    )

    def __init__(self, *, path: str, generator: str | None = None) -> None:
        from finetune.generators.pipeline import load_generator
        from surrogate.folder import check_latent_space, load_surrogate

        saved = load_surrogate(Path(path))
        self.generator = load_generator(generator or saved.config["generator"])
        check_latent_space(saved.surrogate, self.generator)
        self.surrogate = saved.surrogate.requires_grad_(False).to(self.generator.device)

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """The surrogate's estimate of the true reward, in its units."""
        from reward_zoo.preprocessing import resize

        images = resize(inputs.images, *self.generator.image_size)
        latents = self.generator.encode_images(images)
        return self.surrogate.score(latents, self.generator.encode(inputs.prompts))

    def score_latents(self, *, latents: torch.Tensor, prompts: Sequence[str] | None) -> Scores:
        """The same of latents, B×C×h×w of its generator's own size.

        Raises:
            LatentSpaceError: another shape.
            MissingInputError: no prompt for each.
        """
        space = self.surrogate.latent_space
        if tuple(latents.shape[1:]) != (space.channels, space.height, space.width):
            raise LatentSpaceError(
                f"latents: shape {tuple(latents.shape)} is not B×{space.channels}×{space.height}×{space.width}, as "
                f"{self.generator.name} paints"
            )
        prompts = broadcast(prompts or [], len(latents), "prompts")
        device = self.generator.device
        return as_scores(self.surrogate.score(latents.to(device), self.generator.encode(prompts)), len(latents), "surrogate")
