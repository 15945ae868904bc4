"""The trainer on a tiny pipeline: it climbs a reward whose answer is known, resumes exactly, and notices cheating."""

import math

import pytest
import torch

import reward_zoo
from finetune.anchor import TrustRegion
from finetune.config import FinetuneConfig
from finetune.errors import ConfigError
from finetune.generators.pipeline import load_generator
from finetune.lora import AveragedParameters, lora_state
from finetune.objective import NormaliseAndClip
from finetune.trainer import Trainer
from surrogate.building import build_surrogate
from surrogate.config import DistillConfig
from surrogate.errors import ResumeError
from surrogate.model import Part, Surrogate
from surrogate.sampling import LabelledLatents
from surrogate.types import LatentSpace
from tests.tiny.surrogate import Itself

PROMPTS = [f"a {thing}" for thing in ("cat", "dog", "tree", "boat", "house", "car", "bird", "lamp")]
CLIMB = {"adapt_steps": 0, "learning_rate": 1e-2, "lora_targets": "all"}
SMALL = {
    "batch_size": 4,
    "adapt_prompts": 2,
    "evaluate_every": 2,
    "validation_samples": 2,
    "lora_targets": "attention",
    "lora_rank": 2,
}


class MeanHead(torch.nn.Module):
    """The mean of channel 0, `sign` times."""

    kind = "mean"

    def __init__(self, sign):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(sign))

    def look(self, features):
        return self.scale * features[0][:, 0].mean((1, 2))

    def rate(self, looks, conditioning):
        return looks


def mean_latent(sign=1.0):
    """A perfect surrogate of the mean of latent channel 0; `sign=-1` makes it a perfect liar."""
    space = LatentSpace(4, 16, 16, 0.13025)
    part = Part("mean", mean=0.0, spread=1.0)
    return Surrogate(Itself(torch.ones(1000)), [MeanHead(sign)], parts=[part], latent_space=space, score_time=0)


class LatentReward(reward_zoo.Reward):
    """The true reward of these tests: what the decoder below hands through."""

    card = reward_zoo.list_rewards()[0]

    def score(self, inputs):
        return inputs.images[:, 0].mean((1, 2))


@pytest.fixture
def make(tiny_sdxl, monkeypatch):
    def build(surrogate=None, **settings):
        generator = load_generator(str(tiny_sdxl))
        # "Decoding" shows latent channel 0, squeezed into [0, 1]: the reward sees what the surrogate sees.
        monkeypatch.setattr(generator, "decode", lambda z: torch.sigmoid(z[:, :1].expand(-1, 3, -1, -1) / 20))
        config = FinetuneConfig(**{**SMALL, **settings})
        if surrogate is None:
            data = LabelledLatents(
                torch.zeros(2, 4, 16, 16), torch.tensor([0.0, 1.0]), torch.ones(2), torch.zeros(2), ["a"], ["", ""]
            )
            surrogate = build_surrogate(generator, data, DistillConfig(backbone="encoder"))
        distilled = DistillConfig(max_time=50, score_time=10, losses=("regression",)).settled(perceives=False)
        return Trainer(generator, surrogate, LatentReward(), PROMPTS, config, distilled=distilled, margin=0.0)

    return build


def test_it_raises_a_reward_its_surrogate_knows(make):
    trainer = make(mean_latent(), steps=16, **CLIMB, anchor_band=0.5, anchor_band_max=0.5)
    trainer.run()
    assert trainer.best_reward > trainer.start_reward + 0.01
    assert trainer.best_step > 0
    assert not trainer.stopped


def test_a_lying_surrogate_stops_the_run_and_the_start_stands(make):
    trainer = make(
        mean_latent(sign=-1.0),
        steps=60,
        adapt_steps=0,
        learning_rate=1e-2,
        lora_targets="all",
        anchor_band=0.5,
        anchor_band_max=0.5,
    )
    trainer.run()
    assert "true reward fell" in trainer.stopped
    assert trainer.step < 60
    assert trainer.best_step == 0


def test_the_anchor_holds_the_distance(make):
    distances = {}
    for band in (0.002, 0.5):
        trainer = make(
            mean_latent(),
            steps=12,
            **CLIMB,
            anchor_band=band,
            anchor_band_max=band,
        )
        records = []
        trainer.report = records.append
        trainer.run()
        distances[band] = records[-1]["distance"]
    assert distances[0.002] < distances[0.5] / 3


def test_every_training_call_of_the_reward_is_counted(make):
    trainer = make(mean_latent(), steps=4, adapt_every=2, adapt_steps=0)
    trainer.run()
    assert trainer.meter.calls == 2 * 2 * 2 * 2  # adaptations × prompts × noises × (z1, z2)
    assert trainer.validation_meter.calls == 3 * 2  # evaluations × validation prompts


def test_resumed_is_uninterrupted(make, tmp_path):
    settings = {"adapt_every": 2, "adapt_steps": 1}
    whole = make(steps=4, **settings)
    whole.run()
    half = make(steps=2, **settings)
    half.run(tmp_path / "last.pt")
    resumed = make(steps=4, **settings)
    resumed.load(tmp_path / "last.pt")
    resumed.run()
    assert resumed.meter.calls == whole.meter.calls
    for name, tensor in lora_state(whole.generator.unet).items():
        assert torch.equal(tensor, lora_state(resumed.generator.unet)[name]), name
    for name, tensor in whole.surrogate.state_dict().items():
        assert torch.equal(tensor, resumed.surrogate.state_dict()[name]), name


def test_resuming_with_other_settings_names_the_field(make, tmp_path):
    trainer = make(mean_latent(), steps=2, adapt_steps=0)
    trainer.save(tmp_path / "last.pt")
    with pytest.raises(ResumeError, match=r"learning_rate was 0.0006 and is now 0.5"):
        make(mean_latent(), steps=2, adapt_steps=0, learning_rate=0.5).load(tmp_path / "last.pt")
    (tmp_path / "last.pt").write_bytes(b"x")
    with pytest.raises(ResumeError, match="cannot be read"):
        trainer.load(tmp_path / "last.pt")


def test_a_non_finite_step_is_skipped(make):
    trainer = make(mean_latent(sign=math.nan), steps=1, adapt_steps=0)
    before = lora_state(trainer.generator.unet)
    trainer.step = 1
    assert trainer.generator_step()["skipped_steps"] == 1
    for name, tensor in lora_state(trainer.generator.unet).items():
        assert torch.equal(tensor, before[name])


def test_the_wall_stands_at_the_band():
    trust = TrustRegion(band=0.1, band_max=0.11, weight=20.0)
    for times in (0.5, 1.0, 3.0):
        distance = torch.tensor(0.1 * times, requires_grad=True)
        trust.penalty(distance).backward()
        assert distance.grad.item() == pytest.approx(20.0 * times**2)  # steeper the farther, at once


def test_trust_region_follows_the_distance_slowly():
    trust = TrustRegion(band=0.1, band_max=0.11, weight=20.0)
    trust.update(0.1)
    assert trust.weight == pytest.approx(20.0)
    trust.update(5.0)
    assert 20.0 < trust.weight < 22.0  # a jump far outside moves it no more than twice the band does
    for _ in range(400):
        trust.update(0.0)
    assert trust.weight == trust.smallest


def test_the_band_widens_only_on_a_trusted_surrogate():
    trust = TrustRegion(band=0.1, band_max=0.11)
    trust.widen(0.5, trusted=0.6)
    trust.widen(math.nan, trusted=0.6)
    assert trust.band == 0.1
    for _ in range(10):
        trust.widen(0.9, trusted=0.6)
    assert trust.band == 0.11


def test_the_average_follows_and_steps_aside():
    parameter = torch.nn.Parameter(torch.zeros(2))
    averaged = AveragedParameters([parameter], decay=0.5)
    for _ in range(40):
        parameter.data.fill_(1.0)
        averaged.update()
    with averaged.applied():
        assert parameter.tolist() == pytest.approx([1.0, 1.0], abs=1e-3)
    parameter.data.fill_(3.0)
    averaged.update()
    with averaged.applied():
        assert parameter.tolist() == pytest.approx([2.0, 2.0], abs=1e-3)
    assert parameter.tolist() == [3.0, 3.0]


def test_normalise_and_clip():
    objective = NormaliseAndClip()
    first = objective(torch.tensor([0.0, 2.0]))
    assert first.tolist() == pytest.approx([-1.0, 1.0])
    scores = torch.tensor([100.0, 0.0], requires_grad=True)
    objective.mean, objective.spread, objective.seen = 0.0, 1.0, 1000
    objective(scores).sum().backward()
    assert scores.grad[0] == 0  # clipped: nothing more to gain there
    assert scores.grad[1] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora_rank": 0}, "--lora-rank 0"),
        ({"steps": -1}, "--steps -1"),
        ({"learning_rate": 0.0}, r"--learning-rate 0.0"),
        ({"ema_decay": 1.0}, "--ema-decay 1.0"),
        ({"anchor_band": 0.2, "anchor_band_max": 0.1}, "--anchor-band-max"),
        ({"z1_weight": 0.0, "z2_weight": 0.0}, "--z1-weight"),
    ],
)
def test_settings_out_of_range_name_their_flag(settings, message):
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig(**settings)
