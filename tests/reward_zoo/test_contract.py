"""Every registered reward keeps every promise of `reward_zoo/contract.py`; rewards that break one are caught."""

import pytest
import torch

import reward_zoo
from reward_zoo import Reward, RewardCard, Scores
from reward_zoo.contract import PROMISES, check, check_promise
from reward_zoo.readiness import readiness
from reward_zoo.registry import card_of, reward_factory
from tests.tiny.rewards import SPECS

NAMES = [card.name for card in reward_zoo.list_rewards()]


@pytest.fixture(scope="module", params=NAMES)
def reward(request, tmp_path_factory):
    """The reward, on a tiny checkpoint in the published format where the published one is on the hub."""
    name = request.param
    if (state := readiness(card_of(name)).state) in ("missing package", "missing environment"):
        pytest.skip(f"{name}: {state}")
    return reward_zoo.load(SPECS[name](tmp_path_factory.mktemp(name)) if name in SPECS else name)


@pytest.mark.parametrize("promise", sorted(PROMISES))
def test_it_keeps_its_promise(reward, promise):
    found = check_promise(reward, promise)
    assert found.kept, found.reason


def mean(images):
    return images.mean((1, 2, 3))


FACTS = {"name": "own", "summary": "brightness", "range": (0.0, 1.0), "typical": (0.5, 0.2), "source": "s", "license": "l"}


class Own(Reward):
    """A reward that keeps everything, for others to break."""

    card = RewardCard(**FACTS, differentiable=True)

    def score(self, inputs):
        return mean(inputs.images)


class OtherBatch(Own):
    def score(self, inputs):
        return mean(inputs.images) - mean(inputs.images).mean() + 0.5


class OtherOrder(Own):
    def score(self, inputs):
        return mean(inputs.images) * 0.5 + torch.linspace(0, 0.1, len(inputs.images))


class Fickle(Own):
    def score(self, inputs):
        return (mean(inputs.images) + torch.rand(1) * 0.01).clamp(0, 1)


class OutOfRange(Own):
    def score(self, inputs):
        return mean(inputs.images) + 1


class Undeclared(Own):
    def score(self, inputs):
        return Scores(mean(inputs.images), {"extra": mean(inputs.images).detach()})


class NoGradient(Own):
    def score(self, inputs):
        return mean(inputs.images.detach())


class WrongGradient(Own):
    def score(self, inputs):
        value = mean(inputs.images)
        return value.detach() + 2 * (value - value.detach())


class ZeroGradient(Own):
    def score(self, inputs):
        return mean(inputs.images).detach() + 0 * mean(inputs.images)


class Writes(Own):
    def score(self, inputs):
        value = mean(inputs.images).clone()
        with torch.no_grad():
            inputs.images.mul_(0.5)
        return value


class Vague(Own):
    card = RewardCard(**{**FACTS, "typical": (0.5, 0.0)}, differentiable=True)


class Silent(Own):
    card = RewardCard(**FACTS, differentiable=True, perceives="the text")


class Deaf(Own):
    """Its card says it needs prompts, and it overrides the check of them."""

    card = RewardCard(**FACTS, differentiable=True, needs=("prompt",))

    def _check_needs(self, inputs):
        pass


BREAKERS = {
    OtherBatch: "a batch is its items",
    OtherOrder: "any order",
    Fickle: "the same twice",
    OutOfRange: "one score an image, as the card says",
    Undeclared: "one score an image, as the card says",
    Silent: "one score an image, as the card says",
    NoGradient: "the gradient is as declared",
    WrongGradient: "the gradient is as declared",
    ZeroGradient: "the gradient is as declared",
    Writes: "the caller's images stay as they are",
    Vague: "its card is complete",
    Deaf: "missing inputs are refused",
}


def test_a_good_one_keeps_all():
    assert [found.promise for found in check(Own())] == list(PROMISES)
    assert all(found.kept for found in check(Own()))


@pytest.mark.parametrize("broken", BREAKERS, ids=lambda kind: kind.__name__)
def test_a_broken_promise_is_named_with_a_reason(broken):
    found = {part.promise: part for part in check(broken())}
    assert not found[BREAKERS[broken]].kept
    assert found[BREAKERS[broken]].reason


def test_a_function_that_fails_is_reported_not_raised():
    def fails(images):
        raise RuntimeError("no GPU")

    reward = reward_factory(fails, name="fails")()
    found = {part.promise: part for part in check(reward)}
    assert "raised RuntimeError: no GPU" in found["one score an image, as the card says"].reason


def test_rank_composites_may_compare_within_the_batch():
    assert all(found.kept for found in check(reward_zoo.load("rank(brightness+contrast)")))
