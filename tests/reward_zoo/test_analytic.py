"""The formulas of the analytic rewards, against values computed by hand."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

import reward_zoo
from reward_zoo.errors import MissingInputError, SpecError


def flat(red, green, blue, size=(8, 8)):
    return torch.tensor([red, green, blue], dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, *size).clone()


def halves(left, right, size=8):
    image = torch.full((1, 3, size, size), float(left))
    image[..., size // 2 :] = right
    return image


def score(spec, images, **given):
    return reward_zoo.load(spec)(images=images, **given).values.tolist()


CHECKER = (torch.arange(8)[:, None] + torch.arange(8)[None]).remainder(2).float().expand(1, 3, 8, 8)


@pytest.mark.parametrize(
    ("spec", "images", "want"),
    [
        ("brightness", flat(1, 0, 0), 0.299),
        ("brightness:target=0.5", flat(0.2, 0.2, 0.2), -0.3),
        ("contrast", halves(0, 1), 0.5),
        ("contrast", halves(0.2, 0.6), 0.2),
        ("colorfulness", flat(0.5, 0.5, 0.5), 0.0),
        ("colorfulness", flat(1, 0, 0), 0.3 * math.sqrt(1 + 0.25)),
        ("saturation", flat(0.5, 0.5, 0.5), 0.0),
        ("saturation", flat(0.8, 0.4, 0.6), 0.5),
        ("saturation", flat(0, 0, 0), 0.0),
        ("color_entropy", flat(0.3, 0.6, 0.9), 0.0),
        ("color_entropy", halves(0, 1), 1.0),
        ("color_entropy:bins=2", halves(0.1, 0.4), 0.0),
        ("color_target:color=red", flat(1, 0, 0), 0.0),
        ("color_target:color=#000000", flat(1, 1, 1), -math.sqrt(3)),
        ("sharpness", flat(0.4, 0.4, 0.4), 0.0),
        ("sharpness", CHECKER, 16.0),
        ("edge_density", halves(0, 1), 1 / 7),
        ("smoothness", halves(0, 1), -1 / 7),
        ("smoothness", flat(1, 0, 1), 0.0),
        ("symmetry", halves(0, 1), -1.0),
        ("artifact_guard", flat(0, 0, 0), 0.25),
        ("artifact_guard", flat(1, 1, 1), 0.25),
    ],
)
def test_values(spec, images, want):
    assert score(spec, images) == pytest.approx([want], abs=2e-5)


def test_png_is_the_size_of_the_file():
    noise = torch.rand(1, 3, 40, 30, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255
    buffer = io.BytesIO()
    Image.fromarray((noise[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(buffer, format="PNG")
    assert score("png_compressibility", noise) == pytest.approx([-buffer.tell() / 3600])
    assert score("png_compressibility", flat(0.5, 0.5, 0.5, (40, 30)))[0] > -0.05


def test_jpeg_scale_divides():
    (plain,), (scaled,) = score("jpeg_compressibility", CHECKER), score("jpeg_compressibility:scale=500", CHECKER)
    assert scaled == pytest.approx(plain / 500)


def test_blur_lowers_sharpness_edges_and_noise():
    sharp = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(sharp, 3, 1, 1)
    for name, sign in (("sharpness", 1), ("edge_density", 1), ("contrast", 1), ("smoothness", -1)):
        assert sign * score(name, sharp)[0] > sign * score(name, blurred)[0], name


ANALYTIC = [
    card.name
    for card in reward_zoo.list_rewards()
    if card.differentiable and not card.weights and card.name not in ("composite", "normalized", "surrogate", "timm")
]


@pytest.mark.parametrize("spec", [*ANALYTIC, "0.5*brightness+0.5*contrast", "normalized(contrast)"])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_gradients_are_finite_on_flat_images(spec, value):
    images = torch.full((2, 3, 8, 8), value, requires_grad=True)
    reward = reward_zoo.load(spec)
    given = {"prompts": "a red sign"} if reward.card.needs else {}
    reward(images=images, **given).values.sum().backward()
    assert images.grad.isfinite().all()


def test_a_normal_image_passes_the_guard_and_text_on_black_does_not():
    noise = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    black = torch.zeros(1, 3, 32, 32)
    black[..., 14:18, 8:24] = 1.0
    found = reward_zoo.load("artifact_guard")(images=torch.cat([noise, black]))
    assert found.values.tolist() == [1.0, 0.5]
    assert found.components["dark"].tolist() == [0.0, 1.0]
    assert found.components["one_colored"].tolist() == [0.0, 1.0]
    assert found.components["flat"].tolist() == [0.0, 0.0]


def test_color_target_takes_option_target_or_prompt():
    red = flat(1, 0, 0)
    assert score("color_target", red, targets="#ff0000") == pytest.approx([0.0], abs=1e-5)
    assert score("color_target", red, prompts="a big red, not blue, barn") == pytest.approx([0.0], abs=1e-5)
    assert score("color_target", red, targets="blue") == pytest.approx([-math.sqrt(2)])
    with pytest.raises(MissingInputError, match="names no colour"):
        score("color_target", red, prompts="a barn")
    with pytest.raises(SpecError, match="'reddish' is no colour"):
        reward_zoo.load("color_target:color=reddish")


@pytest.mark.parametrize("name", ["sharpness", "edge_density", "smoothness", "artifact_guard"])
def test_one_pixel_has_no_structure_and_is_marked(name):
    assert not reward_zoo.load(name)(images=torch.rand(2, 3, 1, 1)).valid.any()
