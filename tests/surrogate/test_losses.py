"""Losses worked by hand.

Group 0 has scores 1, 0, 0 and predictions 2, 1, 0; group 1 scores 0.5, 0 and predictions 0, 1. Pairs with an order:
(2 over 1) gap 1 → softplus(-1), (2 over 0) gap 1 → softplus(-2), (0 over 1) gap 0.5 → softplus(1).
"""

import math

import pytest
import torch

from reward_zoo.errors import SpecError
from surrogate.config import LOSS_NAMES, DistillConfig
from surrogate.losses import LOSSES, bradley_terry_all, bradley_terry_extremes, listwise, pairs_within, regression

SCORES = torch.tensor([1.0, 0.0, 0.0, 0.5, 0.0])
PREDICTIONS = torch.tensor([2.0, 1.0, 0.0, 0.0, 1.0])
GROUPS = torch.tensor([0, 0, 0, 1, 1])


def softplus(x):
    return math.log1p(math.exp(x))


def test_pairs_stay_in_their_group_and_ties_carry_no_order():
    winner, loser = pairs_within(GROUPS, SCORES)
    assert list(zip(winner.tolist(), loser.tolist(), strict=True)) == [(0, 1), (0, 2), (3, 4)]


def test_bradley_terry_all_weighs_by_gap():
    want = (softplus(-1) + softplus(-2) + 0.5 * softplus(1)) / 2.5
    assert bradley_terry_all(PREDICTIONS, SCORES, GROUPS).item() == pytest.approx(want)


def test_bradley_terry_extremes_takes_best_and_worst():
    want = (softplus(-1) + softplus(1)) / 2  # argmin of group 0 is its first zero
    assert bradley_terry_extremes(PREDICTIONS, SCORES, GROUPS).item() == pytest.approx(want)


def test_regression_is_mean_squared_error():
    assert regression(PREDICTIONS, SCORES, GROUPS).item() == pytest.approx((1 + 1 + 0 + 0.25 + 1) / 5)


def test_listwise_is_the_divergence_of_the_softmaxes():
    def kl(scores, predictions):
        p, q = ([math.exp(x) / sum(map(math.exp, xs)) for x in xs] for xs in (scores, predictions))
        return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))

    want = (kl([1, 0, 0], [2, 1, 0]) + kl([0.5, 0], [0, 1])) / 2
    assert listwise(PREDICTIONS, SCORES, GROUPS).item() == pytest.approx(want, rel=1e-5)
    assert listwise(SCORES + 3, SCORES, GROUPS).item() == pytest.approx(0, abs=1e-6)


def test_the_settings_know_every_loss():
    assert sorted(LOSSES) == sorted(LOSS_NAMES)
    with pytest.raises(SpecError, match="--loss hinge: give one or several of bradley-terry-all"):
        DistillConfig(losses=("hinge",))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_descending_a_loss_learns_the_order(name):
    predictions = torch.zeros(5, requires_grad=True)
    optimizer = torch.optim.SGD([predictions], lr=0.5)
    for _ in range(50):
        optimizer.zero_grad()
        LOSSES[name](predictions, SCORES, GROUPS).backward()
        optimizer.step()
    assert predictions[0] > predictions[1]
    assert predictions[3] > predictions[4]


@pytest.mark.parametrize("name", ["bradley-terry-all", "bradley-terry-extremes", "listwise"])
def test_all_ties_give_a_zero_loss_with_a_gradient(name):
    predictions = torch.zeros(4, requires_grad=True)
    loss = LOSSES[name](predictions, torch.ones(4), torch.zeros(4))
    loss.backward()
    assert loss.item() == 0
    assert (predictions.grad == 0).all()
