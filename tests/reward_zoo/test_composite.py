"""Composites: one scale for all members, named components, an invalid member invalidates the item."""

import pytest
import torch

import reward_zoo
from reward_zoo import calibration
from reward_zoo.errors import NotDifferentiableError, RewardFailedError, SpecError, UnknownRewardError
from reward_zoo.loading import absolute_spec


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LASRO_CACHE", str(tmp_path / "cache"))


def z(name, images):
    reward = reward_zoo.load(name)
    mean, spread = reward.card.typical
    return (reward(images=images).values - mean) / spread


def test_a_weighted_sum_of_z_scores(images):
    found = reward_zoo.load("0.7*brightness + 0.3*contrast")(images=images)
    assert torch.allclose(found.values, 0.7 * z("brightness", images) + 0.3 * z("contrast", images))
    assert torch.equal(found.components["brightness"], reward_zoo.load("brightness")(images=images).values)
    assert set(found.components) == {"brightness", "contrast"}
    unweighted = reward_zoo.load("brightness+-0.5*contrast")(images=images).values
    assert torch.allclose(unweighted, z("brightness", images) - 0.5 * z("contrast", images))


def test_the_other_aggregations(images):
    first, second = z("brightness", images), z("contrast", images)
    assert torch.allclose(reward_zoo.load("min(brightness+contrast)")(images=images).values, torch.minimum(first, second))
    normal = torch.distributions.Normal(0.0, 1.0)
    product = reward_zoo.load("product(brightness+2*contrast)")(images=images).values
    assert torch.allclose(product, normal.cdf(first) * normal.cdf(second) ** 2, atol=1e-6)
    raw = reward_zoo.load("raw(0.5*brightness+0.5*contrast)")(images=images).values
    want = (reward_zoo.load("brightness")(images=images).values + reward_zoo.load("contrast")(images=images).values) / 2
    assert torch.allclose(raw, want)
    assert torch.allclose(reward_zoo.load("normalized(contrast)")(images=images).values, second)


def test_rank_shares_ties_and_knows_no_gradient():
    images = torch.tensor([0.1, 0.5, 0.5, 0.9]).view(4, 1, 1, 1).expand(4, 3, 8, 8).clone()
    reward = reward_zoo.load("rank(brightness+-1*saturation)")
    assert reward(images=images).components["brightness"].tolist() == pytest.approx([0.1, 0.5, 0.5, 0.9])
    alone = reward_zoo.load("rank(brightness)")
    assert alone(images=images).values.tolist() == pytest.approx([0.0, 0.5, 0.5, 1.0])
    assert alone(images=images[:1]).values.tolist() == [0.5]
    with pytest.raises(NotDifferentiableError):
        alone(images=images.requires_grad_(True))


def test_card_and_gradient_come_from_the_members(images):
    both = reward_zoo.load("brightness+contrast")
    assert both.card.differentiable
    pixels = images.clone().requires_grad_(True)
    both(images=pixels).values.sum().backward()
    assert pixels.grad.abs().sum() > 0
    mixed = reward_zoo.load("brightness+ocr:mode=exact")
    assert not mixed.card.differentiable
    assert mixed.card.needs == ("target",)
    assert mixed.card.components == ("brightness", "ocr:mode=exact")


def test_an_invalid_member_makes_the_item_invalid(tmp_path, images):
    (tmp_path / "own.py").write_text(
        "def half(images):\n    return [float('nan') if row % 2 else 1.0 for row in range(len(images))]\n"
    )
    found = reward_zoo.load(f"brightness+0.5*{tmp_path / 'own.py'}:half")(images=images)
    assert found.valid.tolist() == [True, False, True, False]
    assert found.components["brightness"].isfinite().all()


def test_a_calibration_replaces_what_the_card_calls_typical(images):
    before = reward_zoo.load("normalized(brightness)")(images=images).values
    scores = reward_zoo.load("brightness")(images=images).values
    calibration.save("brightness", calibration.fit(scores, "brightness"))
    after = reward_zoo.load("normalized(brightness)")(images=images).values
    assert after.mean().item() == pytest.approx(0.0, abs=1e-4)
    assert after.std().item() == pytest.approx(1.0, abs=1e-3)
    assert not torch.allclose(before, after)
    kept = calibration.saved("brightness")
    assert kept.count == 4
    assert kept.quantiles[0] == pytest.approx(scores.min().item())
    assert kept.quantiles[-1] == pytest.approx(scores.max().item())
    with pytest.raises(RewardFailedError, match="equal or single"):
        calibration.fit(torch.ones(5), "flat")


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("much*ocr+brightness", SpecError, "weight 'much' is not a number"),
        ("0.5*+brightness", SpecError, "a member is missing"),
        ("brightness+", SpecError, "a member is missing"),
        ("0.5*brigthness+ocr", UnknownRewardError, "did you mean 'brightness'"),
        ("composite", SpecError, r"0\.7\*ocr\+0\.3\*aesthetic"),
    ],
)
def test_mistakes_are_named(spec, error, message):
    with pytest.raises(error, match=message):
        reward_zoo.load(spec)


def test_a_spec_in_a_run_folder_finds_its_file_again(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text("def dark(images):\n    return -images.mean((1, 2, 3))\n")
    monkeypatch.chdir(tmp_path)
    spec = absolute_spec("0.5*own.py:dark+ocr")
    assert spec == f"sum(0.5*{tmp_path / 'own.py'}:dark+1*ocr)"
    monkeypatch.chdir("/")
    assert reward_zoo.load(spec).card.needs == ("target",)
