"""Methods: formulas worked by hand, and a toy reward that each of them must raise."""

import pytest
import torch

from finetune.advantages import best_rows, group_means, within_prompt
from finetune.config import FinetuneConfig
from finetune.errors import ConfigError
from finetune.imitation import imitation_loss, noised
from finetune.lcm_anchor import RealPictures, lcm_loss
from finetune.methods import METHODS, load_method
from finetune.methods.pso import pairs
from finetune.trajectories import draw, second_log_prob
from finetune.tuning import TunedWeights
from surrogate.seeding import stream
from tests.tiny.toy import ToyGenerator
from tests.tiny.tuning import PROMPTS, make_trainer, mean_latent

SCORES, GROUPS = torch.tensor([1.0, 3.0, 5.0, 5.0, 2.0]), torch.tensor([7, 7, 2, 2, 9])
PICTURES = RealPictures(torch.randn(6, 4, 4, 4, generator=stream(0, "pictures")), PROMPTS[:6])
TOYS = {
    "lasro": {"adapt_steps": "0", "anchor_band": "0.5", "anchor_band_max": "0.5"},
    "ddpo": {"updates": "4"},
    "pso": {"updates": "2"},
    "gors": {},
    "best-of-n": {},
    "refl": {},
    "draft-lv": {},
}


def test_advantages_compare_within_a_prompt():
    assert group_means(SCORES, GROUPS).tolist() == [2, 2, 5, 5, 2]
    found = within_prompt(SCORES, GROUPS)
    assert found.tolist() == pytest.approx([-1 / 0.4**0.5, 1 / 0.4**0.5, 0, 0, 0])
    assert within_prompt(torch.ones(3), torch.zeros(3, dtype=torch.long)).tolist() == [0, 0, 0]


def test_the_best_of_a_prompt_is_one_row_and_ties_teach_nothing():
    assert best_rows(SCORES, GROUPS).tolist() == [1]
    assert len(best_rows(torch.ones(4), torch.tensor([0, 0, 1, 1]))) == 0


def test_pairs_are_neighbours_of_one_prompt_that_differ():
    better, worse = pairs(torch.tensor([1.0, 3.0, 5.0, 5.0, 2.0, 1.0]), torch.tensor([0, 0, 1, 1, 2, 2]))
    assert (better.tolist(), worse.tolist()) == ([1, 4], [0, 5])


@pytest.fixture(scope="module")
def shop():
    return make_trainer("ddpo").method.shop


def test_the_likelihood_of_what_was_drawn_is_that_of_its_noise(shop):
    """log p is that of a Gaussian about the present network's mean: torch's own density, averaged and without constants."""
    batch = draw(shop, per_prompt=3, rng=stream(0, "test"))
    assert (batch.groups.view(-1, 3) == batch.groups[::3, None]).all()  # prompts stand together
    assert len(batch.groups.unique()) == len(batch) // 3
    found = second_log_prob(shop.generator, batch.first, batch.last, shop.table[batch.groups])
    assert torch.allclose(found, batch.log_prob, atol=1e-4)
    z1, seen = shop.generator.x0(batch.first, 999, shop.table[batch.groups])
    mean, spread = shop.generator.transition(z1, seen)
    density = torch.distributions.Normal(mean, spread)
    whole = density.log_prob(batch.last).mean((1, 2, 3)) - density.log_prob(mean).mean((1, 2, 3))
    assert torch.allclose(found, whole, atol=1e-4)


def test_samples_of_one_start_differ_by_the_fresh_noise_alone(shop):
    batch = draw(shop, per_prompt=2, rng=stream(0, "test"), shared_start=True)
    assert torch.equal(batch.first[0::2], batch.first[1::2])
    assert not torch.allclose(batch.last[0::2], batch.last[1::2])
    apart = draw(shop, per_prompt=2, rng=stream(0, "test"))
    assert not torch.allclose(apart.first[0::2], apart.first[1::2])


def test_imitation_is_a_share_of_the_variance_and_weighted(shop):
    noisy, groups = torch.randn(3, *shop.latent_shape), torch.tensor([0, 1, 2])
    x0 = shop.generator.x0(noisy, 499, shop.table[groups])[0].detach()
    away = x0 + torch.tensor([1.0, 2.0, 3.0])[:, None, None, None]
    found = imitation_loss(shop, noisy, 499, groups, away, torch.tensor([1.0, 0.5, 0.0]))
    assert found.item() == pytest.approx((1 + 0.5 * 4) / 3 / away.var().item(), rel=1e-4)
    assert imitation_loss(shop, noisy, 499, groups, x0, torch.ones(3)).item() == pytest.approx(0, abs=1e-9)


def test_noise_is_that_of_the_schedule(shop):
    latents = torch.full((2, *shop.latent_shape), 3.0)
    alpha = shop.generator.alphas_cumprod[499]
    found = noised(shop, latents, 499, stream(0, "noise"))
    assert found.mean().item() == pytest.approx(3 * alpha.sqrt().item(), abs=0.1)
    assert found.std().item() == pytest.approx((1 - alpha).sqrt().item(), rel=0.1)


def test_every_method_is_tried():
    assert set(TOYS) == set(METHODS)
    for name in METHODS:
        assert load_method(name, {})[0].__module__ == METHODS[name]


@pytest.mark.parametrize("method", METHODS)
def test_it_raises_a_toy_reward(method):
    critic = mean_latent() if method == "lasro" else None
    trainer = make_trainer(method, TOYS[method], critic=critic, steps=60, batch_size=8, evaluate_every=20)
    trainer.run()
    assert trainer.best_reward > trainer.start_reward + 0.02


def test_the_lcm_loss_is_zero_where_the_generator_agrees_with_itself():
    """A generator whose x0 does not depend on the time of the look is consistent, whatever the teacher's step."""
    toy = ToyGenerator()
    toy.unet.paint.weight.data.zero_()
    toy.unet.paint.bias.data.fill_(0.3)
    tuned = TunedWeights(toy.unet, FinetuneConfig(tune="full"))
    assert lcm_loss(toy, tuned, PICTURES, 4, stream(0, "lcm")).item() == pytest.approx(0, abs=1e-6)
    toy.unet.paint.weight.data.copy_(0.8 * torch.eye(4)[:, :, None, None])
    loss = lcm_loss(toy, tuned, PICTURES, 4, stream(0, "lcm"))
    loss.backward()
    assert loss.item() > 0.01
    assert toy.unet.paint.weight.grad.abs().sum() > 0


def test_the_lcm_anchor_holds_a_climb_back():
    rewards = []
    for weight, pictures in (("0", None), ("5000", PICTURES)):
        options = {**TOYS["lasro"], "anchor": "false", "lcm_weight": weight}
        trainer = make_trainer("lasro", options, critic=mean_latent(), pictures=pictures, steps=30, evaluate_every=30)
        trainer.run()
        rewards.append(trainer.best_reward)
    assert rewards[0] > rewards[1] + 0.02
    with pytest.raises(ConfigError, match=r"--set lcm_weight=500\.0: goes together with real pictures"):
        make_trainer("lasro", {"lcm_weight": "500"}, critic=mean_latent())
