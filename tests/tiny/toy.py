"""A generator small enough to be tuned in milliseconds: one convolution paints, and pictures show the first channel."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import torch
from diffusers import LCMScheduler

from finetune.generators.pipeline import SDXLGenerator
from finetune.generators.preset import Preset
from surrogate.types import LatentSpace, TextConditioning


class ToyNet(torch.nn.Module):
    """x0 = 0.8 × noisy + bias, at first; every number may be learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.paint = torch.nn.Conv2d(4, 4, 1)
        self.paint.weight.data.copy_(0.8 * torch.eye(4)[:, :, None, None])
        self.paint.bias.data.zero_()
        self.device = torch.device("cpu")

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """B×4×h×w → x0."""
        return self.paint(noisy)


class ToyEncoder(torch.nn.Module):
    """The parts of a VAE's encoder that perceptual distances look at."""

    def __init__(self) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(0)
        self.conv_in, self.down_blocks = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ModuleList([torch.nn.Tanh()])
        self.conv_in.weight.data.copy_(torch.randn(8, 3, 3, 3, generator=drawn))
        self.conv_in.bias.data.zero_()


class ToyGenerator(SDXLGenerator):
    """Samples as `SDXLGenerator` does, with `ToyNet` for a UNet and no prompts to speak of."""

    def __init__(self, sampler: str = "lcm") -> None:
        self.name, self.preset = "toy", Preset(name="toy", source="toy", sampler=sampler)
        self.unet = ToyNet()
        self.vae = SimpleNamespace(encoder=ToyEncoder().requires_grad_(False), dtype=torch.float32)
        scheduler = LCMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
        self.alphas_cumprod = scheduler.alphas_cumprod
        self.latent_space, self.image_size = LatentSpace(4, 4, 4, 1.0), (4, 4)

    def encode(self, prompts: Sequence[str]) -> TextConditioning:
        """Their words alone."""
        return TextConditioning.of_words(list(prompts))

    def x0(self, noisy: torch.Tensor, time: int, conditioning: TextConditioning) -> tuple[torch.Tensor, torch.Tensor]:
        """Clean latents, and the noise that is left of `noisy`."""
        alpha, found = self.alphas_cumprod[time], self.unet(noisy)
        return found, (noisy - alpha.sqrt() * found) / (1 - alpha).sqrt()

    def decode_with_gradient(self, latents: torch.Tensor) -> torch.Tensor:
        """The first channel, squeezed into [0, 1]."""
        return torch.sigmoid(latents[:, :1].expand(-1, 3, -1, -1))
