"""What every registered reward promises, checked for each of them."""

import numpy as np
import pytest
import torch
from PIL import Image

import reward_zoo
from reward_zoo.errors import ImageError, MissingInputError, NotDifferentiableError
from reward_zoo.images import to_uint8
from tests.tiny.rewards import SPECS

NAMES = [card.name for card in reward_zoo.list_rewards()]
PROMPTS = ['a red sign "AB"', 'a blue sign "CD"', 'a green sign "EF"', 'a gold sign "GH"']
METADATA = [{"include": [{"class": name, "count": 1}]} for name in ("cat", "dog", "cat", "boat")]
REFERENCES = torch.rand(4, 3, 24, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=NAMES)
def reward(request, tmp_path_factory):
    return load_tiny(request.param, tmp_path_factory)


def load_tiny(name, tmp_path_factory):
    """The reward, on a tiny checkpoint in the published format where the published one is on the hub."""
    return reward_zoo.load(SPECS[name](tmp_path_factory.mktemp(name)) if name in SPECS else name)


def inputs_of(reward, rows=slice(None)):
    needs = reward.card.needs
    given = {"prompts": PROMPTS[rows]} if {"prompt", "target"} & set(needs) else {}
    given |= {"metadata": METADATA[rows]} if "metadata" in needs else {}
    return given | ({"references": REFERENCES[rows]} if "reference" in needs else {})


def test_one_float_an_image_in_the_declared_range(reward, images):
    scores = reward(images=images, **inputs_of(reward))
    assert scores.values.shape == (4,)
    assert scores.values.dtype == torch.float32
    assert scores.valid.all()
    assert (scores.values >= reward.card.range[0]).all()
    assert (scores.values <= reward.card.range[1]).all()
    assert set(scores.components) == set(reward.card.components)
    assert (scores.perceived is not None) == bool(reward.card.perceives)


def test_a_batch_is_its_items_in_any_order(reward, images):
    whole = reward(images=images, **inputs_of(reward)).values
    single = torch.cat(
        [reward(images=images[row : row + 1], **inputs_of(reward, slice(row, row + 1))).values for row in range(4)]
    )
    order = [2, 0, 3, 1]
    shuffled = {
        key: value[order] if torch.is_tensor(value) else [value[row] for row in order]
        for key, value in inputs_of(reward).items()
    }
    assert torch.allclose(whole, single, atol=1e-5)
    assert torch.allclose(whole[order], reward(images=images[order], **shuffled).values, atol=1e-5)


def test_tensor_pil_array_and_path_score_the_same(reward, images, tmp_path):
    arrays = to_uint8(images)
    for row, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{row}.png")
    texts = inputs_of(reward)
    want = reward(images=torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 255, **texts).values
    for form in (arrays, list(arrays), [Image.fromarray(a) for a in arrays], [tmp_path / f"{row}.png" for row in range(4)]):
        assert torch.equal(reward(images=form, **texts).values, want)


def test_the_gradient_is_as_declared(reward, images):
    pixels = images.clone().requires_grad_(True)
    if not reward.card.differentiable:
        with pytest.raises(NotDifferentiableError, match=reward.card.name):
            reward(images=pixels, **inputs_of(reward))
        return
    reward(images=pixels, **inputs_of(reward)).values.sum().backward()
    assert pixels.grad.isfinite().all()
    assert pixels.grad.abs().sum() > 0
    pixels = (0.2 + 0.6 * images).requires_grad_(True)  # room for a step inside [0, 1]
    (gradient,) = torch.autograd.grad(reward(images=pixels, **inputs_of(reward)).values.sum(), pixels)
    step = 1e-3 * gradient.sign()
    ends = [reward(images=pixels.detach() + sign * step, **inputs_of(reward)).values.sum().item() for sign in (1, -1)]
    assert (ends[0] - ends[1]) / 2 == pytest.approx((gradient * step).sum().item(), rel=0.05)


def test_bad_images_are_named_errors(reward):
    for bad, text in [
        (torch.rand(2, 4, 8, 8), "B×3×H×W"),
        (torch.rand(2, 3, 8, 8) * 255, r"\[0, 1\]"),
        (torch.full((1, 3, 8, 8), float("nan")), r"\[0, 1\]"),
        (np.random.default_rng(0).random((2, 8, 8, 3)), "ambiguous"),
        (torch.zeros(0, 3, 8, 8), "B×3×H×W"),
        ([], "empty"),
        ("no/such.png", "no such file"),
    ]:
        with pytest.raises(ImageError, match=text):
            reward(images=bad, **inputs_of(reward))


def test_a_missing_need_is_a_named_error(reward, images):
    if not reward.card.needs:
        return
    with pytest.raises(MissingInputError, match=reward.card.name):
        reward(images=images)
    with pytest.raises(MissingInputError, match="3 given for 4"):
        reward(images=images, **inputs_of(reward, slice(3)))


def test_the_same_twice(reward, images):
    first, second = (reward(images=images, **inputs_of(reward)) for _ in range(2))
    assert torch.equal(first.values, second.values)


def test_cards_are_complete():
    for card in reward_zoo.list_rewards():
        assert card.summary, card.name
        assert card.source, card.name
        assert card.license, card.name
        assert card.typical[1] > 0, card.name
