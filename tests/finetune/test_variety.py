"""Pictures of one prompt are kept different, where nothing else asks for it."""

import pytest
import torch

from finetune.diversity import PerceptualFeatures
from finetune.errors import ConfigError
from finetune.methods.lasro import Settings
from finetune.variety import POSITIONS, Variety, window
from surrogate.seeding import stream
from tests.tiny.toy import ToyGenerator
from tests.tiny.tuning import make_trainer, mean_latent

FREE = {"adapt_steps": "0", "anchor": "false"}


def pairs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(2, 3, 4, 8, 8, generator=stream(seed, "pairs")))


def test_what_is_as_different_as_before_costs_nothing():
    lost, share = Variety(ToyGenerator(), share=1.0)(pairs(), pairs(), stream(0, "window"))
    assert (lost.item(), share) == (0.0, pytest.approx(1.0))


def test_what_is_alike_costs_all_of_its_share_and_is_driven_apart():
    first, second = pairs()
    near = (first + 0.01 * second).requires_grad_()
    lost, share = Variety(ToyGenerator(), share=0.8)((first, near), (first, second), stream(0, "window"))
    assert share == pytest.approx(0.0, abs=0.01)
    assert lost.item() == pytest.approx(0.8, abs=0.01)
    lost.backward()
    moved = near.detach() - 0.1 * near.grad / near.grad.square().mean().sqrt()
    assert Variety(ToyGenerator(), share=0.8)((first, moved), (first, second), stream(0, "window"))[1] > 10 * share


def test_frozen_pictures_that_are_all_one_ask_for_nothing_endless():
    first, second = pairs()
    lost, _ = Variety(ToyGenerator(), share=0.9)((first, second), (first, first), stream(0, "window"))
    assert lost.item() == 0


@pytest.mark.parametrize("size", [(8, 32), (32, 64), (128, 128), (96, 160)])
def test_a_window_lies_inside_and_is_small(size):
    for seed in range(5):
        rows, columns = window(size, stream(seed, "window"))
        cut = torch.zeros(size)[rows, columns]
        assert 0 < cut.numel() <= POSITIONS
        assert cut.numel() >= 0.9 * min(POSITIONS, size[0] * size[1])
        if size[0] * size[1] <= POSITIONS:
            assert cut.shape == size


def test_windows_lie_everywhere():
    assert len({window((128, 128), stream(seed, "window"))[0].start for seed in range(8)}) > 3


def test_a_climb_that_makes_all_pictures_alike_is_held():
    """The brightest picture is white, and white pictures are all alike."""
    spreads = {}
    for weight in ("0", "20"):
        options = FREE | {"variety_weight": weight}
        trainer = make_trainer(critic=mean_latent(), options=options, steps=40, evaluate_every=40, learning_rate=5e-2)
        trainer.run()
        generator = trainer.generator
        latents = generator.sample(["a cat"] * 4, [1, 2, 3, 4], 2)[-1]
        spreads[weight] = PerceptualFeatures(generator).spread(generator.decode(latents))
        assert trainer.best_reward > trainer.start_reward
    assert spreads["0"] < 0.7 * spreads["20"]
    assert "variety" in trainer.method.metrics


def test_it_can_be_left_out():
    trainer = make_trainer(critic=mean_latent(), options=FREE | {"variety_weight": "0"}, steps=1)
    trainer.run()
    assert "variety" not in trainer.method.metrics


@pytest.mark.parametrize(
    "wrong", [{"variety_weight": -1.0}, {"variety_share": 0.0}, {"variety_share": 1.1}, {"variety_pairs": 0}]
)
def test_values_out_of_range_are_named(wrong):
    with pytest.raises(ConfigError, match=f"--set {next(iter(wrong))}={next(iter(wrong.values()))}"):
        Settings(**wrong)
