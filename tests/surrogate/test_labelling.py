"""Labelling: every stage of every pair once, resumable, metered."""

import pytest
import torch

import reward_zoo
from reward_zoo.errors import SpecError
from surrogate.config import DistillConfig
from surrogate.errors import StoreError
from surrogate.labelling import RewardMeter, label
from surrogate.store import LabelledStore

JOBS = [("a cat", 1), ("a cat", 2), ("a dog", 3)]


def labelled(generator, folder, jobs=JOBS, **options):
    meter = RewardMeter(reward_zoo.load("brightness"))
    store = LabelledStore.create(folder, generator="tiny", reward="brightness", latent_space={})
    label(generator, meter, jobs, store, batch_size=2, **options)
    return store, meter


def test_extra_steps_are_a_third_stage(generator, tmp_path):
    store, meter = labelled(generator, tmp_path / "s", extra_steps=4)
    labels, latents = store.labels(), store.latents()
    assert meter.calls == len(labels) == len(latents) == 9
    assert sorted({entry.stage for entry in labels}) == [1, 2, 4]
    row = next(i for i, entry in enumerate(labels) if (entry.prompt, entry.seed, entry.stage) == ("a dog", 3, 4))
    want = generator.sample(["a dog"], [3], 4)[-1][0]
    assert torch.allclose(latents[row], want, atol=2e-2)  # kept in half precision
    score = reward_zoo.load("brightness")(images=generator.decode(want[None])).values.item()
    assert labels[row].score == pytest.approx(score, abs=1e-3)


def test_what_is_there_is_not_asked_again(generator, tmp_path):
    labelled(generator, tmp_path / "s", JOBS[:2])
    store, meter = labelled(generator, tmp_path / "s")
    assert meter.calls == 2  # z1 and z2 of the third pair
    assert len(store.labels()) == 6


def test_the_price_of_a_pair_is_its_stages():
    assert DistillConfig().stages == 2
    assert DistillConfig(extra_steps=8).stages == 3
    with pytest.raises(SpecError, match="--extra-steps 2"):
        DistillConfig(extra_steps=2)


def test_a_store_of_another_reward_is_refused(generator, tmp_path):
    labelled(generator, tmp_path / "s", JOBS[:1])
    with pytest.raises(StoreError, match="use another folder"):
        LabelledStore.create(tmp_path / "s", generator="tiny", reward="ocr", latent_space={})
