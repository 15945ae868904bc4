"""Hindsight: other prompts for pictures already perceived, at no call of the reward."""

import random

import pytest
import torch

import reward_zoo
from reward_zoo.briefing import briefed
from reward_zoo.text_match import ned
from reward_zoo.text_variants import another_text
from surrogate.building import build_surrogate
from surrogate.config import DistillConfig
from surrogate.hindsight import Hindsight, hindsight_of
from surrogate.objective import surrogate_loss
from surrogate.sampling import ConditioningTable, LabelledLatents, prompt_batches
from surrogate.seeding import stream
from tests.tiny.rewards import SPECS

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


def test_only_rewards_that_can_score_again_what_they_perceived_have_hindsight():
    for spec in ("brightness", "vlm_judge", "ocr_confidence", "0.5*ocr+0.5*brightness", "rank(ocr)"):
        assert hindsight_of(reward_zoo.load(spec), 0.5) is None, spec
    assert hindsight_of(reward_zoo.load("ocr"), 0.0) is None
    for spec in ("ocr", "normalized(ocr)"):
        assert hindsight_of(reward_zoo.load(spec), 0.5).share == 0.5


def test_a_text_that_only_a_table_knows_has_no_other_prompt():
    facts = {prompt: {"prompt": prompt, "target": "OPEN"} for prompt in PROMPTS}
    reward, rng = briefed(reward_zoo.load("ocr"), facts), random.Random(0)
    assert any(reward.hindsight(PROMPTS[0], "OPFN", rng) for _ in range(5))
    assert not any(reward.hindsight(PROMPTS[1], "OPFN", rng) for _ in range(5))  # it asks for EXIT, and OPEN is wanted


DETECTOR = """
import numpy as np
def boxes(pictures):
    found = []
    for picture in pictures:
        rng = np.random.default_rng(int(picture.astype(np.int64).sum()))
        one = []
        for _ in range(rng.integers(0, 5)):
            left, top = rng.integers(0, 24, 2)
            name = ("cat", "dog", "car")[rng.integers(3)]
            one.append((name, rng.choice([0.2, 0.5, 0.95]), (left, top, left + rng.integers(4, 24), top + rng.integers(4, 8))))
        found.append(one)
    return found
"""


def records():
    """Prompts with clauses of every kind."""
    rng, found = random.Random(3), {}
    for number in range(60):
        first = {"class": rng.choice(["cat", "dog", "car"]), "count": rng.choice([1, 1, 2])}
        first |= {"color": rng.choice(["red", "green", "black", "brown"])} if rng.random() < 0.5 else {}
        second = {"class": rng.choice(["cat", "dog"]), "count": 1}
        second |= {"position": [rng.choice(["left of", "below"]), 0]} if rng.random() < 0.5 else {}
        record = {
            "tag": rng.choice(["counting", "colors"]),
            "include": [first, second][: rng.choice([1, 2])],
            "exclude": [second],
        }
        found[f"prompt {number}"] = {"prompt": f"prompt {number}", **record}
    return found


def geneval(mode):
    def build(folder):
        (folder / "own.py").write_text(DETECTOR)
        return briefed(reward_zoo.load(f"geneval:detector={folder / 'own.py'}:boxes,mode={mode}"), records())

    return build


REWARDS = {
    "geneval dense": (geneval("dense"), list(records())),
    "geneval strict": (geneval("strict"), list(records())),
    "captions": (lambda folder: reward_zoo.load(SPECS["captioning_alignment"](folder)), ["a red sign", "no cat", "yes", "a"]),
    "captions, scaled": (
        lambda folder: reward_zoo.load(f"normalized({SPECS['captioning_alignment'](folder)})"),
        ["a red sign", "no cat", "a cat and a sign"],
    ),
}


@pytest.mark.parametrize("name", sorted(REWARDS))
def test_it_is_what_the_reward_says_of_that_picture_with_that_prompt(tmp_path, name):
    build, prompts = REWARDS[name]
    reward, rng = build(tmp_path), random.Random(1)
    images = torch.rand(12, 3, 32, 48, generator=stream(0, "pictures")) * torch.tensor([1.0, 0.4, 0.3])[:, None, None]
    own = [rng.choice(prompts) for _ in images]
    perceived = reward(images=images, prompts=own).perceived
    drawn = [
        (row, found)
        for row in range(len(images))
        for _ in range(6)
        if (found := reward.hindsight(own[row], perceived[row], rng, others=prompts)) is not None
    ]
    assert len(drawn) > 30
    assert len({score for _, (_, score) in drawn}) > 1
    assert all(prompt != own[row] for row, (prompt, _) in drawn)
    rows, found = zip(*drawn, strict=True)
    want = reward(images=images[list(rows)], prompts=[prompt for prompt, _ in found]).values
    assert torch.allclose(torch.tensor([score for _, score in found]), want, atol=1e-5)
    assert reward.hindsight(own[0], perceived[0], rng) is None  # nothing to draw from
    assert reward.hindsight(own[0], perceived[0], rng, others=[own[0]]) is None


def test_other_prompts_come_from_the_batch_so_none_that_is_held_out_is_seen():
    data = LabelledLatents(
        torch.zeros(6, 4, 2, 2),
        torch.arange(6.0),
        torch.ones(6),
        torch.tensor([0, 0, 1, 1, 3, 3]),
        ["a", "b", "held out", "c"],
        list("uvwxyz"),
    )

    def anything(prompt, perceived, rng, *, others):
        return rng.choice(others), 0.0

    hindsight = Hindsight(anything, 1.0)
    seen = {prompt for step in range(20) for prompt in hindsight.draw(data, stream(0, step))[1]}
    assert seen == {"a", "b", "c"}


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

    def swap(prompt, perceived, rng, *, others):
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
