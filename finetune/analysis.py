"""Why few steps are hard for policy gradients: what the paper's analysis measures, on any generator, by number of steps.

Three quantities of LaSRO's §3 (Jia et al., arXiv 2411.15247), and the share of the chain that has a likelihood at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from finetune.advantages import within_prompt
from finetune.diversity import PerceptualFeatures, distances
from finetune.generators.pipeline import SDXLGenerator
from finetune.generators.rollout import transition
from surrogate.seeding import stream
from surrogate.types import TextConditioning

Scorer = Callable[[torch.Tensor, Sequence[str]], torch.Tensor]  # images and prompts to scores (B,)


@dataclass(frozen=True)
class Chain:
    """A sampled chain: the network's inputs, one a step, each B×4×h×w, with their times; and the samples."""

    inputs: list[torch.Tensor]
    times: list[int]
    z: torch.Tensor


def run_chain(
    generator: SDXLGenerator, conditioning: TextConditioning, start: torch.Tensor, fresh: torch.Tensor, steps: int
) -> Chain:
    """Sample from start noise (B×4×h×w) and the noises put back between the steps ((steps − 1)×B×4×h×w)."""
    calls = list(generator.calls(torch.cat([start[None], fresh]), conditioning, steps))
    return Chain([noisy for noisy, _, _ in calls], [time for _, time, _ in calls], calls[-1][2])


class StepAnalysis:
    """Measurements of one generator on some prompts, by number of steps; the same noises for every number.

    Args:
        generator: as it is.
        prompts: one chain, or a group of chains, each.
        seed: of all noises.
    """

    def __init__(self, generator: SDXLGenerator, prompts: Sequence[str], seed: int = 0) -> None:
        self.generator, self.prompts, self.seed = generator, list(prompts), seed
        space = generator.latent_space
        self.shape = (space.channels, space.height, space.width)

    def _noise(self, purpose: str, *shape: int) -> torch.Tensor:
        return torch.randn((*shape, *self.shape), generator=stream(self.seed, purpose)).to(self.generator.device)

    @torch.no_grad()
    def diversity(self, steps: int, *, images: int = 4) -> float:
        """Mean perceptual distance between pictures of one prompt and one start noise: what a policy explores on its own."""
        if steps == 1:
            return 0.0  # nothing is random but the start
        measure, found = PerceptualFeatures(self.generator), []
        starts = self._noise("start", len(self.prompts))
        one, other = torch.triu_indices(images, images, offset=1)
        for number, prompt in enumerate(self.prompts):
            fresh = self._noise(f"fresh {number}", steps - 1, images)
            start = starts[number].expand(images, -1, -1, -1)
            z = run_chain(self.generator, self.generator.encode([prompt] * images), start, fresh, steps).z
            features = measure(self.generator.decode(z))
            found.append(distances([part[one] for part in features], [part[other] for part in features]).mean().item())
        return sum(found) / len(found)

    @torch.no_grad()
    def lipschitz(self, steps: int, *, size: float = 0.01) -> tuple[float, float]:
        """|z(x + δ) − z(x)| / |δ| for random δ of RMS `size` in the start noise: mean and 95 % quantile over prompts."""
        count = len(self.prompts)
        start, nudge, fresh = self._noise("start", count), self._noise("nudge", count), self._noise("fresh", steps, count)
        nudge = size * nudge / nudge.square().mean((1, 2, 3), keepdim=True).sqrt()
        conditioning = self.generator.encode(self.prompts)
        z, moved = (run_chain(self.generator, conditioning, noise, fresh, steps).z for noise in (start, start + nudge))
        ratio = (moved - z).flatten(1).norm(dim=1) / nudge.flatten(1).norm(dim=1)
        return ratio.mean().item(), ratio.quantile(0.95).item()

    def gradient_noise(self, steps: int, score: Scorer, *, samples: int = 4) -> float:
        """How noisy one chain's policy gradient g = advantage × Σ ∇ log p is: tr Cov(g) / |E g|².

        The sum is over the steps that have a likelihood. So many chains must be averaged before the estimate's error is as
        long as the gradient itself. Infinite for one step, which has no likelihood. Gradients are with respect to all weights
        of the UNet; advantages are within a prompt.
        """
        if steps == 1:
            return float("inf")
        prompts = [prompt for prompt in self.prompts for _ in range(samples)]
        start, fresh = self._noise("start", len(prompts)), self._noise("fresh", steps - 1, len(prompts))
        conditioning = self.generator.encode(prompts)
        with torch.no_grad():
            chain = run_chain(self.generator, conditioning, start, fresh, steps)
            scores = score(self.generator.decode(chain.z), prompts)
        groups = torch.arange(len(self.prompts)).repeat_interleave(samples)
        advantages = within_prompt(scores, groups)
        weights = list(self.generator.unet.requires_grad_(True).parameters())
        total, squares, count = None, 0.0, 0
        for row in torch.nonzero(advantages)[:, 0].tolist():
            gradient = self._policy_gradient(chain, conditioning[row : row + 1], row, weights, advantages[row].item())
            total = gradient if total is None else total + gradient
            squares, count = squares + gradient.square().sum().item(), count + 1
        self.generator.unet.requires_grad_(False)
        if count < 2:
            return float("nan")
        mean_square = (total / count).square().sum().item()
        variance = (squares / count - mean_square) * count / (count - 1)
        signal = mean_square - variance / count  # what is left of |mean|² when its own noise is taken off
        return variance / signal if signal > 0 else float("inf")

    def _policy_gradient(
        self, chain: Chain, conditioning: TextConditioning, row: int, weights: list[torch.nn.Parameter], advantage: float
    ) -> torch.Tensor:
        generator, log_prob = self.generator, 0.0
        for step in range(len(chain.times) - 1):
            time, after = chain.times[step], chain.inputs[step + 1][row : row + 1]
            x0, seen = generator.x0(chain.inputs[step][row : row + 1], time, conditioning)
            between = (time, chain.times[step + 1])
            mean, spread = transition(x0, seen, generator.preset, generator.alphas_cumprod, between)
            log_prob = log_prob - ((after - mean) ** 2).sum() / (2 * spread**2)
        gradients = torch.autograd.grad(advantage * log_prob, weights, allow_unused=True)
        return torch.cat([part.flatten() for part in gradients if part is not None])


def likelihood_share(steps: int) -> float:
    """Of the chain's steps, those behind which noise is put back: all but the last, which is deterministic."""
    return (steps - 1) / steps
