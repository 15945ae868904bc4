"""The trainer on a tiny pipeline: it climbs a reward whose answer is known, resumes exactly, and notices cheating."""

import math
from dataclasses import replace

import pytest
import torch

from finetune.anchor import TrustRegion
from finetune.config import FinetuneConfig
from finetune.errors import ConfigError, PromptError
from finetune.generators.preset import Preset
from finetune.methods import METHODS, load_method
from finetune.objective import NormaliseAndClip
from finetune.trainer import default_learning_rate
from finetune.tuning import AveragedParameters
from surrogate.checkpoint import Checkpoints
from surrogate.errors import ResumeError
from tests.tiny.toy import ToyGenerator
from tests.tiny.tuning import PROMPTS, SMALL, make_trainer, mean_latent, untrained

FROZEN = {"adapt_steps": "0"}
WIDE = {"anchor_band": "0.5", "anchor_band_max": "0.5"}


def test_it_raises_a_reward_its_surrogate_knows():
    trainer = make_trainer(critic=mean_latent(), options=FROZEN | WIDE, steps=16)
    trainer.run()
    assert trainer.best_reward > trainer.start_reward + 0.01
    assert trainer.best_step > 0
    assert not trainer.stopped


@pytest.mark.parametrize(("one_stage", "painted"), [("false", 4 + 4), ("true", 2 + 2)])
def test_a_prompt_may_be_asked_at_one_of_its_stages(one_stage, painted):
    """Half as many latents then need a gradient, and it climbs all the same."""
    options = FROZEN | WIDE | {"variety_weight": "0", "one_stage": one_stage}
    trainer = make_trainer(critic=mean_latent(), options=options, steps=16)
    generator, rows = trainer.generator, []
    x0 = generator.x0

    def counted(noisy, time, conditioning):
        rows.append(len(noisy) if torch.is_grad_enabled() else 0)
        return x0(noisy, time, conditioning)

    generator.x0 = counted
    trainer.run()
    assert sum(rows) == 16 * painted
    assert trainer.best_reward > trainer.start_reward + 0.01
    assert {"surrogate_z1", "surrogate_z2"} <= set(trainer.method.metrics)


def test_one_picture_cannot_be_shared_between_the_stages():
    with pytest.raises(ConfigError, match=r"--set one_stage=True: .* give --batch-size 2 or more"):
        make_trainer(options={"one_stage": "true"}, batch_size=1)


def test_a_lying_surrogate_stops_the_run_and_the_start_stands():
    trainer = make_trainer(critic=mean_latent(sign=-1.0), options=FROZEN | WIDE, steps=60)
    trainer.run()
    assert "true reward fell" in trainer.stopped
    assert trainer.step < 60
    assert trainer.best_step == 0


def test_the_anchor_holds_the_distance():
    distances = {}
    for band in ("0.002", "0.5"):
        trainer = make_trainer(
            critic=mean_latent(), options=FROZEN | {"anchor_band": band, "anchor_band_max": band}, steps=30, learning_rate=3e-2
        )
        trainer.run()
        distances[band] = trainer.method.metrics["distance"]
    assert distances["0.002"] < distances["0.5"] / 3


def test_every_training_call_of_the_reward_is_counted():
    trainer = make_trainer(critic=mean_latent(), options=FROZEN | {"adapt_every": "2"}, steps=4)
    trainer.run()
    assert trainer.meter.calls == 2 * 2 * 2 * 2  # adaptations × prompts × noises × (z1, z2)
    assert trainer.validation_meter.calls == 3 * 2  # evaluations × validation prompts
    assert trainer.reward_calls == trainer.meter.calls + trainer.validation_meter.calls


def test_a_run_ends_when_its_calls_are_spent():
    trainer = make_trainer(method="ddpo", options={"samples_per_prompt": "2"}, steps=50, max_reward_calls=30)
    trainer.run()
    assert 30 <= trainer.reward_calls < 30 + 8 + 2
    trainer.run(max_reward_calls=60)
    assert 60 <= trainer.reward_calls < 60 + 8 + 2


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("refl", "draft-lv")])
def test_resumed_is_uninterrupted(tmp_path, method):
    def trainer():
        critic = untrained(dropout=0.5) if method == "lasro" else None
        return make_trainer(method=method, options=options, critic=critic, steps=4)

    options = {"adapt_every": "2", "adapt_steps": "1"} if method == "lasro" else {}
    checkpoints = Checkpoints(tmp_path, keep=2)
    whole = trainer()
    whole.run()
    cut = trainer()
    cut.report = lambda record: setattr(cut, "leave", record["step"] == 2)
    cut.run(checkpoints)
    resumed = trainer()
    resumed.load(checkpoints)
    assert resumed.step == 2
    resumed.run()
    assert resumed.reward_calls == whole.reward_calls
    for name, tensor in whole.tuned.state().items():
        assert torch.equal(tensor, resumed.tuned.state()[name]), name
    for name, tensor in whole.best.items():
        assert torch.equal(tensor, resumed.best[name]), name
    if method == "lasro":
        for name, tensor in whole.method.surrogate.state_dict().items():
            assert torch.equal(tensor, resumed.method.surrogate.state_dict()[name]), name


@pytest.mark.parametrize(("tune", "share"), [("lora", 1.0), ("full", 0.1)])
@pytest.mark.parametrize(("measured", "rate"), [(None, 3e-4), (2e-3, 2e-3)])  # ddpo's own, the preset's
def test_a_learning_rate_left_open_is_the_presets_or_the_methods_own(tune, share, measured, rate):
    preset, (kind, _) = Preset(name="mine", source="mine", learning_rate=measured), load_method("ddpo", {})
    assert default_learning_rate(FinetuneConfig(tune=tune), preset, kind) == pytest.approx(rate * share)


def test_the_optimiser_takes_a_learning_rate_left_open():
    generator = ToyGenerator()
    generator.preset = replace(generator.preset, learning_rate=2e-3)
    assert make_trainer(generator=generator, learning_rate=None).optimizer.param_groups[0]["lr"] == pytest.approx(2e-4)


@pytest.mark.parametrize(
    ("method", "scheduler", "last"), [("lasro", None, 0.05), ("ddpo", None, 1.0), ("lasro", "constant", 1.0)]
)
def test_the_learning_rate_falls_where_the_method_or_the_user_says(method, scheduler, last):
    trainer = make_trainer(
        method=method, options={"adapt_steps": "0"} if method == "lasro" else {}, steps=4, lr_scheduler=scheduler
    )
    rates = []
    trainer.report = lambda record: rates.append(trainer.optimizer.param_groups[0]["lr"])
    trainer.run()
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(last * SMALL["learning_rate"])


def test_a_run_left_is_saved_at_its_step_and_old_checkpoints_go(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    trainer = make_trainer(method="ddpo", steps=9)
    trainer.report = lambda record: setattr(trainer, "leave", record["step"] >= 3)
    trainer.run(checkpoints)
    assert trainer.step == 3
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003.pt"]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    make_trainer(method="ddpo", steps=4).run(checkpoints)
    (tmp_path / "step-00000004.pt").write_bytes(b"x")
    resumed = make_trainer(method="ddpo", steps=4)
    resumed.load(checkpoints)
    assert resumed.step == 2
    (tmp_path / "step-00000002.pt").write_bytes(b"x")
    with pytest.raises(ResumeError, match="cannot be read"):
        resumed.load(checkpoints)


def test_resuming_with_other_settings_names_the_field(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    trainer = make_trainer(critic=mean_latent(), options=FROZEN, steps=2)
    trainer.run(checkpoints)
    with pytest.raises(ResumeError, match=r"learning_rate was 0.01 and is now 0.5"):
        make_trainer(critic=mean_latent(), options=FROZEN, steps=2, learning_rate=0.5).load(checkpoints)
    with pytest.raises(ResumeError, match=r"adapt_every was 4 and is now 3"):
        make_trainer(critic=mean_latent(), options=FROZEN | {"adapt_every": "3"}, steps=2).load(checkpoints)


def test_resuming_with_other_prompts_is_refused(tmp_path):
    """Checkpoints number them."""
    checkpoints = Checkpoints(tmp_path)
    make_trainer(method="gors", steps=2).run(checkpoints)
    with pytest.raises(ResumeError, match=r"prompts was '8 texts \(.*\)' and is now '9 texts"):
        make_trainer(method="gors", steps=2, prompts=["a new one", *PROMPTS]).load(checkpoints)


def test_one_prompt_is_too_few():
    with pytest.raises(PromptError, match="--prompts: 1 distinct, which validation needs; give at least 2"):
        make_trainer(method="ddpo", prompts=["a cat"] * 8)


def test_after_a_step_that_is_not_a_number_training_goes_on():
    trainer = make_trainer(critic=mean_latent(), options=WIDE | {"adapt_every": "2", "adapt_steps": "1"}, steps=6)
    score, losses, seen = trainer.method.surrogate.score, trainer.method.adapter.surrogate.forward, []

    def lost(*given, **more):
        return score(*given, **more) * (math.nan if trainer.step == 2 else 1.0)

    def lost_in_training(*given, **more):
        looks, scores = losses(*given, **more)
        return looks, scores * (math.nan if trainer.step == 2 else 1.0)

    trainer.method.surrogate.score, trainer.method.surrogate.forward = lost, lost_in_training
    trainer.report = lambda record: seen.append(record["skipped_steps"]) if record["step"] else None
    trainer.run()
    assert seen == [0, 1, 1, 1, 1, 1]
    assert math.isfinite(trainer.method.metrics["surrogate_z2"])


def test_a_non_finite_step_is_skipped():
    trainer = make_trainer(critic=mean_latent(sign=math.nan), options=FROZEN, steps=1)
    before = trainer.tuned.state()
    trainer.run()
    assert trainer.skipped == 1
    for name, tensor in trainer.tuned.state().items():
        assert torch.equal(tensor, before[name])


def test_a_learning_rate_that_explodes_leaves_the_best_checkpoint():
    trainer = make_trainer(critic=mean_latent(), options=FROZEN | WIDE, steps=12, learning_rate=1e6)
    trainer.run()
    assert trainer.best_reward >= trainer.start_reward
    assert all(tensor.isfinite().all() for tensor in trainer.best.values())


def test_all_of_the_unet_is_tuned_and_the_frozen_one_is_there_beneath():
    trainer = make_trainer(critic=mean_latent(), options=FROZEN | WIDE, steps=4)
    before = trainer.tuned.state()
    trainer.run()
    after = trainer.tuned.state()
    assert sum(not torch.equal(before[name], after[name]) for name in before) > len(before) / 2
    with trainer.tuned.off():
        assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.tuned.state().items())
    assert all(torch.equal(tensor, after[name]) for name, tensor in trainer.tuned.state().items())


def test_gathered_batches_are_one_larger_step():
    trainer = make_trainer(critic=mean_latent(), options=FROZEN, steps=3, gradient_accumulation_steps=2)
    updates = []
    step = trainer.optimizer.step
    trainer.optimizer.step = lambda: (updates.append(trainer.step), step())
    trainer.run()
    assert updates == [1, 2, 3]


def test_losses_that_are_fewer_than_were_to_be_gathered_still_train():
    """pso leaves out ties, so that a step may have fewer losses than `gradient_accumulation_steps`."""
    few, alone = (make_trainer(method="pso", steps=1, batch_size=2, gradient_accumulation_steps=gather) for gather in (8, 1))
    for trainer in (few, alone):
        trainer.run()
    before = make_trainer(method="pso").tuned.state()
    assert any(not torch.equal(before[name], tensor) for name, tensor in few.tuned.state().items())
    assert few.skipped == 0


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


@pytest.mark.parametrize(("accuracy", "times"), [(0.75, 1), (0.9, 1), (0.95, 2), (0.98, 4), (1.0, 4)])
def test_a_surrogate_that_hardly_errs_is_followed_faster(accuracy, times):
    trust, slow = TrustRegion(0.02, 0.1), TrustRegion(0.02, 0.1)
    trust.widen(accuracy, trusted=0.6)
    for _ in range(times):
        slow.widen(0.75, trusted=0.6)
    assert trust.band == pytest.approx(slow.band)


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


def test_scores_that_come_to_be_alike_are_not_blown_up():
    objective = NormaliseAndClip(momentum=0.5)
    objective(torch.tensor([0.0, 2.0]))
    for _ in range(20):
        alike = objective(torch.tensor([1.0, 1.01]))
    assert (alike[1] - alike[0]).item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora_rank": 0}, "--lora-rank 0"),
        ({"steps": -1}, "--steps -1"),
        ({"learning_rate": 0.0}, r"--learning-rate 0.0"),
        ({"ema_decay": 1.0}, "--ema-decay 1.0"),
        ({"tune": "some"}, "--tune some: must be one of lora, full"),
        ({"max_reward_calls": 0}, "--max-reward-calls 0"),
    ],
)
def test_settings_out_of_range_name_their_flag(settings, message):
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig(**settings)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("lasso", {}, "--method lasso: no such method; did you mean 'lasro'"),
        ("lasro", {"anchor_bandmax": "1"}, "--set of lasro: no option 'anchor_bandmax'; did you mean 'anchor_band_max'"),
        ("lasro", {"adapt_every": "often"}, "is not a whole number"),
        ("lasro", {"anchor_band": "0.2", "anchor_band_max": "0.1"}, "--set anchor_band_max=0.1: is below"),
        ("lasro", {"z1_weight": "0", "z2_weight": "0"}, "--set z1_weight=0.0"),
        ("lasro", {"adapt_steps": "-1"}, "--set adapt_steps=-1"),
        ("best-of-n", {"samples_per_prompt": "1"}, "--set samples_per_prompt=1"),
        ("ddpo", {"clip_range": "0"}, "--set clip_range=0.0: must be above 0"),
    ],
)
def test_a_methods_settings_name_themselves(method, options, message):
    with pytest.raises(ConfigError, match=message):
        load_method(method, options)


@pytest.mark.parametrize("method", ["refl", "draft-lv"])
def test_a_reward_without_a_gradient_is_refused_where_one_is_needed(method):
    with pytest.raises(ConfigError, match=f"--method {method}: reward jpeg_compressibility has no gradient"):
        make_trainer(method=method, steps=1, reward="jpeg_compressibility")


@pytest.mark.parametrize("method", ["ddpo", "pso", "best-of-n", "draft-lv"])
def test_a_sampler_without_fresh_noise_is_refused_where_it_is_needed(method):
    with pytest.raises(ConfigError, match="puts no fresh noise between its steps"):
        make_trainer(method=method, steps=1, generator=ToyGenerator("ddim"))
