"""Rewards of colour and light. No weights."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from reward_zoo.card import RewardCard
from reward_zoo.errors import MissingInputError, SpecError
from reward_zoo.reward import Reward, RewardInputs

if TYPE_CHECKING:
    import torch


def luma(images: torch.Tensor) -> torch.Tensor:
    """Rec. 601 luma of B×3×H×W in [0, 1]: B×H×W."""
    return 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]


def spread(values: torch.Tensor) -> torch.Tensor:
    """Standard deviation over the last dimension, with a finite gradient where all values are equal."""
    return (values.var(-1, correction=0) + 1e-12).sqrt()


class Brightness(Reward):
    """Mean luma; with a target, minus the distance to it."""

    card = RewardCard(
        name="brightness",
        summary="how light the image is; with target=0.6, how near it is to that",
        range=(-1.0, 1.0),
        typical=(0.45, 0.15),
        differentiable=True,
        source="mean of Rec. 601 luma, or -|mean - target|",
        license="Apache-2.0",
    )

    def __init__(self, *, target: float | None = None) -> None:
        if target is not None and not 0 <= target <= 1:
            raise SpecError(f"brightness: target={target:g}: must be from 0 (black) to 1 (white)")
        self.target = target

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """Mean luma of each image."""
        mean = luma(inputs.images).mean((1, 2))
        return mean if self.target is None else -(mean - self.target).abs()


class Contrast(Reward):
    """RMS contrast."""

    card = RewardCard(
        name="contrast",
        summary="RMS contrast: the spread of luma",
        range=(0.0, 0.5 + 1e-6),
        typical=(0.22, 0.07),
        differentiable=True,
        source="standard deviation of Rec. 601 luma (Peli, 1990)",
        license="Apache-2.0",
    )

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """0 on a flat image, 0.5 on half black, half white."""
        return spread(luma(inputs.images).flatten(1))


class Colorfulness(Reward):
    """Hasler and Süsstrunk's colourfulness, for values in [0, 1]."""

    card = RewardCard(
        name="colorfulness",
        summary="how colourful the image is: 0 for grey, about 0.4 for extremely colourful",
        range=(0.0, 2.0),
        typical=(0.17, 0.09),
        differentiable=True,
        source="Hasler and Süsstrunk, Measuring colorfulness in natural images (2003), M3, divided by 255",
        license="Apache-2.0",
    )

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """√(σ²rg + σ²yb) + 0.3 √(μ²rg + μ²yb) with rg = R − G and yb = (R + G) / 2 − B."""
        red, green, blue = inputs.images.flatten(2).unbind(1)
        opponents = (red - green, (red + green) / 2 - blue)
        variance = sum(part.var(-1, correction=0) for part in opponents)
        mean = sum(part.mean(-1) ** 2 for part in opponents)
        return (variance + 1e-12).sqrt() + 0.3 * (mean + 1e-12).sqrt()


class Saturation(Reward):
    """Mean saturation of HSV."""

    card = RewardCard(
        name="saturation",
        summary="mean HSV saturation",
        range=(0.0, 1.0),
        typical=(0.35, 0.17),
        differentiable=True,
        source="mean of (max − min) / max over the channels; 0 where the pixel is black",
        license="Apache-2.0",
    )

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """0 for grey images, 1 for pure colours."""
        high, low = inputs.images.amax(1), inputs.images.amin(1)
        return ((high - low) / high.clamp(min=1e-4)).mean((1, 2))


class ColorEntropy(Reward):
    """How many colours the image uses, as the entropy of its palette."""

    card = RewardCard(
        name="color_entropy",
        summary="richness of the palette: entropy of the colour histogram, in bits",
        range=(0.0, 24.0),
        typical=(5.5, 1.5),
        source="Shannon entropy of the RGB histogram with `bins` values a channel",
        license="Apache-2.0",
    )

    def __init__(self, *, bins: int = 8) -> None:
        if not 2 <= bins <= 256:
            raise SpecError(f"color_entropy: bins={bins} is not from 2 to 256")
        self.bins = bins

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """0 for one colour; 3·log2(bins) when every bin is used alike."""
        import torch

        levels = (inputs.images * self.bins).long().clamp(0, self.bins - 1)
        codes = (levels[:, 0] * self.bins + levels[:, 1]) * self.bins + levels[:, 2]
        entropies = []
        for code in codes.flatten(1):
            share = code.bincount().float() / len(code)
            share = share[share > 0]
            entropies.append(-(share * share.log2()).sum())
        return torch.stack(entropies).clamp(min=0)


class ColorTarget(Reward):
    """Nearness of the mean colour to a wanted one."""

    card = RewardCard(
        name="color_target",
        summary="nearness of the mean colour to color=red or #rrggbb, to each target, or to the prompt's first colour word",
        range=(-(3**0.5), 0.0),
        typical=(-0.6, 0.2),
        differentiable=True,
        needs=("target",),
        source="-‖mean RGB − target‖₂",
        license="Apache-2.0",
    )

    def __init__(self, *, color: str | None = None) -> None:
        self.color = parse_color(color) if color else None
        if color:
            self.card = replace(self.card, needs=())

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """0 when the mean colour is the wanted one."""
        if self.color is not None:
            wanted = [self.color] * len(inputs.images)
        elif inputs.targets is not None:
            wanted = [parse_color(text) for text in inputs.targets]
        else:
            wanted = [color_in_prompt(prompt) for prompt in inputs.prompts or ()]
        gap = inputs.images.mean((2, 3)) - inputs.images.new_tensor(wanted)
        return -(gap.square().sum(1) + 1e-12).sqrt()


def color_in_prompt(prompt: str) -> tuple[float, float, float]:
    """The first colour a prompt names, as RGB in [0, 1].

    Raises:
        MissingInputError: it names none.
    """
    from PIL import ImageColor

    for word in re.findall(r"[a-z]+", prompt.lower()):
        if word in ImageColor.colormap:
            return parse_color(word)
    raise MissingInputError(
        f"color_target: the prompt {prompt!r} names no colour; give color=red (or #rrggbb), or targets=[...]"
    )


def parse_color(text: str) -> tuple[float, float, float]:
    """A colour's name or #rrggbb as RGB in [0, 1].

    Raises:
        SpecError: neither.
    """
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise SpecError(f"color_target: {text!r} is no colour; write a name such as red, or #rrggbb") from None
    return red / 255, green / 255, blue / 255
