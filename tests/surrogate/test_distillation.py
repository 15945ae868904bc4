"""Training a surrogate: it learns what is there to learn, stops in time, and goes on exactly where it was cut off."""

import pytest
import torch

from surrogate.config import DistillConfig
from surrogate.distillation import train_surrogate
from surrogate.errors import LabelError, ResumeError
from surrogate.sampling import LabelledLatents, split_by_prompt
from surrogate.seeding import stream

PROMPTS = [f"a {thing}" for thing in ("cat", "dog", "tree", "boat", "house", "car")]
SETTINGS = {"backbone": "latent-cnn", "steps": 24, "prompts_per_batch": 3, "rows_per_prompt": 4, "max_time": 2, "score_time": 0}


class CutOff(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def data():
    """Scores are the mean of channel 0, which varies from latent to latent."""
    rng = stream(0, "data")
    latents = torch.randn(60, 4, 16, 16, generator=rng) + torch.randn(60, 4, 1, 1, generator=rng)
    groups = torch.arange(6).repeat(10)
    return LabelledLatents(latents, latents[:, 0].mean((1, 2)), torch.ones(60), groups, PROMPTS, [""] * 60)


def train(generator, data, *, report=lambda record: None, checkpoint=None, **settings):
    config = DistillConfig(**{**SETTINGS, **settings})
    training, held_out = split_by_prompt(data, 0.3, stream(0, "split"))
    return train_surrogate(generator, training, held_out, config, margin=0.2, report=report, checkpoint=checkpoint)


@pytest.fixture(scope="module")
def whole(generator, data):
    return train(generator, data)


def test_it_learns_an_order_it_can_see(whole):
    assert whole.held_out["pairwise"]["accuracy"] > 0.9


@pytest.mark.parametrize("cut", [1, 5, 6, 13, 24])
def test_a_training_cut_off_and_gone_on_with_is_the_uninterrupted_one(generator, data, whole, tmp_path, cut):
    cut_off_and_gone_on_with(generator, data, whole, tmp_path, cut)


def test_one_on_pictures_too(generator, data, tmp_path):
    whole = train(generator, data, backbone="pixel-cnn")
    cut_off_and_gone_on_with(generator, data, whole, tmp_path, 13, backbone="pixel-cnn")


def cut_off_and_gone_on_with(generator, data, whole, tmp_path, cut, **settings):
    checkpoint = tmp_path / "distill.pt"

    def report(record):
        if record["step"] == cut:
            raise CutOff

    with pytest.raises(CutOff):
        train(generator, data, report=report, checkpoint=checkpoint, **settings)
    assert checkpoint.exists() == (cut > 1)
    again = train(generator, data, checkpoint=checkpoint, **settings)
    assert (again.held_out, again.step) == (whole.held_out, whole.step)
    for name, value in whole.surrogate.state_dict().items():
        assert torch.equal(value, again.surrogate.state_dict()[name]), name


def test_going_on_with_other_settings_is_refused(generator, data, tmp_path):
    checkpoint = tmp_path / "distill.pt"
    train(generator, data, checkpoint=checkpoint)
    with pytest.raises(ResumeError, match=r"weight_decay was 0.05 and is now 0.5; use the old value"):
        train(generator, data, checkpoint=checkpoint, weight_decay=0.5)
    checkpoint.write_bytes(b"half a checkpoint")
    with pytest.raises(ResumeError, match=r"distill.pt cannot be read"):
        train(generator, data, checkpoint=checkpoint)


def test_it_stops_when_nothing_gets_better(generator, data):
    steps = []
    train(generator, data, report=lambda record: steps.append(record["step"]), learning_rate=1e-12, patience=2)
    assert steps[-1] == 6  # the first of twelve evaluations is the best, two more are waited for


def test_equal_scores_teach_nothing(generator, data):
    tied = LabelledLatents(data.latents, data.groups.float(), data.stages, data.groups, PROMPTS, data.perceived)
    with pytest.raises(LabelError, match="no pair to learn from"):
        train(generator, tied)


def test_what_is_left_open_is_settled_by_the_network():
    reader, unet = DistillConfig().settled(perceives=True), DistillConfig().settled(perceives=False)
    assert (reader.backbone, unet.backbone) == ("latent-cnn", "full")
    assert reader.steps > unet.steps
    assert DistillConfig(steps=7).settled(perceives=True).steps == 7
    large = DistillConfig().settled(perceives=False, large=True)
    assert large.gradient_checkpointing
    assert large.prompts_per_batch * large.rows_per_prompt <= 16  # 1.7 GB of activations each, at 512 px
    assert DistillConfig().settled(perceives=True, large=True) == reader
    assert reader.settled(perceives=False, labels=10**6) == reader


def test_many_labels_take_more_steps():
    few, many = (DistillConfig().settled(perceives=True, labels=count) for count in (1_000, 36_000))
    assert few.steps == DistillConfig().settled(perceives=True).steps
    assert many.steps * many.prompts_per_batch * many.rows_per_prompt == 15 * 36_000  # fifteen times through them
    assert DistillConfig(steps=7).settled(perceives=True, labels=36_000).steps == 7
