"""Samples with everything a method may want of them: inputs of the network, its outputs, likelihood, true scores."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from finetune.errors import ConfigError
from finetune.generators.pipeline import SDXLGenerator
from finetune.method import Workshop
from surrogate.types import TextConditioning

Input = tuple[torch.Tensor, int]  # noisy latents B×4×h×w, and their time


def trajectory(
    generator: SDXLGenerator, start: torch.Tensor, fresh: torch.Tensor, conditioning: TextConditioning
) -> tuple[list[Input], list[torch.Tensor]]:
    """The network's inputs and outputs (z1, and z2 where there are two steps) from start and fresh noise, B×4×h×w each.

    Outputs carry gradients; the second input is cut off from z1, so that each answers for itself.
    """
    times = generator.preset.times
    inputs = [(generator.inputs_first(start.to(generator.device)), times[0])]
    z1, seen = generator.x0(*inputs[0], conditioning)
    outputs = [z1]
    if generator.num_steps > 1:
        second = generator.inputs_second(z1, seen, fresh.to(generator.device)).detach()
        inputs.append((second, times[1]))
        outputs.append(generator.x0(second, times[1], conditioning)[0])
    return inputs, outputs


def one_stage(
    generator: SDXLGenerator, start: torch.Tensor, fresh: torch.Tensor, conditioning: TextConditioning, number: int
) -> tuple[Input, torch.Tensor]:
    """`trajectory`'s input and output number `number` (from 0); what comes before is painted without gradient."""
    times = generator.preset.times
    noisy = generator.inputs_first(start.to(generator.device))
    if number:
        with torch.no_grad():
            noisy = generator.inputs_second(*generator.x0(noisy, times[0], conditioning), fresh.to(generator.device))
    return (noisy, times[number]), generator.x0(noisy, times[number], conditioning)[0]


@dataclass(frozen=True)
class Trajectories:
    """B samples and their true scores, on the CPU; rows of one prompt stand together.

    `first`, `last`: what the network saw in its first and last step. `z` (B×4×h×w): the samples. `log_prob` (B,): of the
    second of two inputs, given the first.
    """

    groups: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor
    z: torch.Tensor
    log_prob: torch.Tensor
    scores: torch.Tensor

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, rows: torch.Tensor) -> Trajectories:
        return Trajectories(*(getattr(self, part.name)[rows] for part in fields(self)))

    @staticmethod
    def together(parts: list[Trajectories]) -> Trajectories:
        """All rows, in order."""
        return Trajectories(*(torch.cat([getattr(part, one.name) for part in parts]) for one in fields(Trajectories)))


@torch.no_grad()
def draw(
    shop: Workshop, *, per_prompt: int, rng: torch.Generator, shared_start: bool = False, batch_size: int = 32
) -> Trajectories:
    """`per_prompt` samples of each of `shop.config.batch_size` different prompts, scored; those without a score are left out.

    Args:
        shop: whose present generator samples.
        per_prompt: samples a prompt.
        rng: of prompts and noises.
        shared_start: one start noise for all samples of a prompt; they differ by what is put back between the steps.
        batch_size: samples at once.
    """
    names = torch.randperm(len(shop.prompts), generator=rng)[: shop.config.batch_size]
    groups = names.repeat_interleave(per_prompt)
    shape = shop.latent_shape
    starts = torch.randn((len(names if shared_start else groups), *shape), generator=rng)
    if shared_start:
        starts = starts.repeat_interleave(per_prompt, dim=0)
    fresh = torch.randn((len(groups), *shape), generator=rng)
    parts = [_sample(shop, groups[rows], starts[rows], fresh[rows]) for rows in torch.arange(len(groups)).split(batch_size)]
    found = Trajectories.together(parts)
    return found[found.scores.isfinite()]


def _sample(shop: Workshop, groups: torch.Tensor, start: torch.Tensor, fresh: torch.Tensor) -> Trajectories:
    inputs, outputs = trajectory(shop.generator, start, fresh, shop.table[groups])
    scores = shop.meter(shop.generator.decode(outputs[-1]), [shop.prompts[group] for group in groups.tolist()]).values
    log_prob = -fresh.square().mean((1, 2, 3)) / 2  # what was added to the mean is the noise itself
    return Trajectories(groups, inputs[0][0].cpu(), inputs[-1][0].cpu(), outputs[-1].cpu(), log_prob, scores)


def second_log_prob(
    generator: SDXLGenerator, first: torch.Tensor, second: torch.Tensor, conditioning: TextConditioning
) -> torch.Tensor:
    """Log p(second input | first), (B,), with gradient: the only step of two that has a likelihood.

    The mean over the latent's entries of a Gaussian's logarithm, as in RLCM and PSO; constants are left out.
    """
    first, second = first.to(generator.device), second.to(generator.device)
    mean, spread = generator.transition(*generator.x0(first, generator.preset.times[0], conditioning))
    return -((second - mean) ** 2).mean((1, 2, 3)) / (2 * spread**2)


def needs_fresh_noise(generator: SDXLGenerator, method: str) -> None:
    """See that noise is put back between two steps.

    Raises:
        ConfigError: it is not, so that no step has a likelihood.
    """
    preset, nothing = generator.preset, generator.alphas_cumprod.new_zeros(1)
    if generator.num_steps < 2:
        why = "has one step"
    elif generator.transition(nothing, nothing)[1] == 0:
        why = f"puts no fresh noise between its steps (sampler {preset.sampler})"
    else:
        return
    raise ConfigError(f"--method {method}: generator {preset.name} {why}, so no step has a likelihood; use lasro")
