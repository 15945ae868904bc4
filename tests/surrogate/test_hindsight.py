"""Hindsight: other prompts for pictures already perceived, at no call of the reward."""

import random

import pytest
import torch

import reward_zoo
from reward_zoo.text_match import ned
from reward_zoo.text_variants import another_text
from surrogate.building import build_surrogate
from surrogate.config import DistillConfig
from surrogate.hindsight import Hindsight, hindsight_of
from surrogate.objective import surrogate_loss
from surrogate.sampling import ConditioningTable, LabelledLatents, prompt_batches
from surrogate.seeding import stream

PROMPTS = ['a sign that says "OPEN"', 'a sign that says "EXIT"']


def test_ocr_knows_what_another_prompt_would_have_scored():
    reward, rng = reward_zoo.load("ocr"), random.Random(0)
    drawn = [reward.hindsight('a sign that says "OPEN" in white', "OPFN", rng) for _ in range(200)]
    found = [item for item in drawn if item is not None]
    assert len(found) > 150
    texts = {prompt.split('"')[1] for prompt, _ in found}
    for prompt, score in found:
        assert score == ned("OPFN", prompt.split('"')[1])
        assert prompt.startswith("a sign that says ")
        assert prompt.endswith(" in white")
    assert "OPEN" not in texts  # its own prompt would be no news
    assert "OPFN" in texts
    assert len(texts) > 20
    assert reward.hindsight("a sign without a text", "OPFN", rng) is None


def test_only_rewards_that_perceive_have_hindsight():
    assert hindsight_of(reward_zoo.load("brightness"), 0.5) is None
    assert hindsight_of(reward_zoo.load("ocr"), 0.0) is None
    assert hindsight_of(reward_zoo.load("ocr"), 0.5).share == 0.5


@pytest.mark.parametrize("perceived", ["", "###", "OPFN", "ÖßЖ", "a much longer text than asked for"])
def test_another_text_keeps_the_kind_of_each_letter(perceived):
    rng = random.Random(1)
    for _ in range(100):
        text = another_text("Ab 9!", perceived if perceived != "OPFN" else "Xy 1!", rng)
        assert 3 <= len(text) <= 5
        assert text.isascii()
        assert text[0].isupper()
        assert text[1].islower()
        assert text[3].isdigit()


def test_it_teaches_what_the_prompt_asks_for(generator):
    """All pictures score the same under their own prompts: only hindsight can tell the two prompts apart."""
    count = 8
    latents = torch.randn(count, 4, *_size(generator), generator=stream(0, "signs"))
    groups = torch.arange(count) % 2
    data = LabelledLatents(latents, torch.ones(count), torch.ones(count), groups, PROMPTS, ["OPEN", "EXIT"] * 4)

    def swap(prompt, perceived, rng):
        other = PROMPTS[prompt == PROMPTS[0]]
        return other, 0.0

    labelled = LabelledLatents(latents, torch.arange(count) / count, data.stages, groups, PROMPTS, data.perceived)
    config = DistillConfig(backbone="encoder", losses=("bradley-terry-all",), max_time=20, score_time=10)
    surrogate = build_surrogate(generator, labelled, config)
    table = ConditioningTable(generator, PROMPTS)
    optimizer = torch.optim.AdamW(surrogate.parameters(), lr=1e-3)
    losses = []
    for step in range(12):
        loss = surrogate_loss(surrogate, data, table, config, rng=stream(0, "step", step), hindsight=Hindsight(swap, 1.0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(0.69, abs=0.1)  # it starts by guessing
    assert losses[-1] < 0.5


def _size(generator):
    return generator.latent_space.height, generator.latent_space.width


def test_rows_take_what_was_perceived_along():
    data = LabelledLatents(
        torch.zeros(4, 4, 2, 2), torch.arange(4.0), torch.ones(4), torch.tensor([0, 0, 1, 1]), ["a", "b"], list("wxyz")
    )
    assert data.rows(torch.tensor([True, False, False, True])).perceived == ["w", "z"]
    assert data.rows(torch.tensor([3, 1])).perceived == ["z", "x"]
    assert data.rows(next(prompt_batches(data.groups, 1, 0))).perceived in (["w", "x"], ["y", "z"])
