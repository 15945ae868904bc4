"""Fidelity numbers on cases whose answer is known."""

import numpy as np
import pytest

from surrogate.fidelity import agreement, bootstrap_accuracy, pairwise_accuracy

SCORES = np.array([0.0, 0.1, 0.5, 1.0, 0.0, 1.0])
GROUPS = np.array([0, 0, 0, 0, 1, 1])


def test_perfect_reversed_and_constant_predictions():
    assert pairwise_accuracy(SCORES, SCORES, GROUPS, 0.2) == 1.0
    assert pairwise_accuracy(-SCORES, SCORES, GROUPS, 0.2) == 0.0
    assert pairwise_accuracy(np.zeros(6), SCORES, GROUPS, 0.2) == 0.5


def test_only_pairs_of_one_group_beyond_the_margin_count():
    found = agreement(SCORES, SCORES, GROUPS, np.array([1, 1, 2, 2, 1, 2]), 0.2)
    assert found["pairwise"]["pairs"] == 6  # five in group 0 (0 and 0.1 are too near), one in group 1
    assert found["spearman"] == pytest.approx(1.0)
    assert found["spearman_by_stage"] == {"z1": pytest.approx(1.0), "z2": pytest.approx(1.0)}


def test_the_interval_holds_the_accuracy_and_narrows_with_prompts():
    rng = np.random.default_rng(0)

    def interval(prompts):
        groups, scores = np.repeat(np.arange(prompts), 4), rng.random(4 * prompts)
        predictions = scores + rng.normal(0, 0.4, len(scores))
        low, high = bootstrap_accuracy(predictions, scores, groups, 0.0)
        assert low <= pairwise_accuracy(predictions, scores, groups, 0.0) <= high
        return high - low

    assert interval(200) < interval(10)


def test_without_pairs_there_is_no_number():
    assert np.isnan(pairwise_accuracy(SCORES, np.zeros(6), GROUPS, 0.0))
