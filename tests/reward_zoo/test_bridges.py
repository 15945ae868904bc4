"""Bridges give what the library itself gives, with the sign of a reward."""

import importlib.util

import pytest
import timm
import torch
import torchmetrics.image
from PIL import Image
from safetensors.torch import load_file

import reward_zoo
from reward_zoo.errors import MissingWeightsError, NotDifferentiableError, SpecError
from reward_zoo.images import to_uint8
from tests.tiny.bridges import build_timm

PYIQA = pytest.mark.skipif(importlib.util.find_spec("pyiqa") is None, reason="pyiqa is not installed")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return build_timm(tmp_path_factory.mktemp("timm"))


def test_timm_is_timms_own_number(weights):
    """Through timm's own PIL transform; ours works on tensors, so pixels differ by rounding."""
    network = timm.create_model("test_resnet").eval()
    network.load_state_dict(load_file(weights))
    data = timm.data.resolve_model_data_config(network)
    transform = timm.data.create_transform(**data, is_training=False)
    pictures = torch.rand(3, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    pictures = to_uint8(torch.nn.functional.interpolate(pictures, (240, 300), mode="bilinear"))
    with torch.no_grad():
        want = network(torch.stack([transform(Image.fromarray(picture)) for picture in pictures])).log_softmax(1)[:, 7]
    got = reward_zoo.load(f"timm:test_resnet?class=7&log=true&weights={weights}")(images=pictures).values
    assert (got - want).abs().max() < 0.1 * want.std()
    assert want.std() > 0.05
    probability = reward_zoo.load(f"timm:test_resnet?class=7,weights={weights}")(images=pictures).values
    assert torch.allclose(probability, got.exp(), atol=1e-6)


def test_a_class_has_a_number_or_a_name(weights, images):
    by_number, by_name, by_other_name = (
        reward_zoo.load(f"timm:test_resnet?class={text},weights={weights}")(images=images).values
        for text in ("281", "tabby", "Tabby cat")
    )
    assert torch.equal(by_number, by_name)
    assert torch.equal(by_number, by_other_name)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("timm", SpecError, r"model and class must be given; write timm:MODEL\?class=…"),
        ("timm:test_resnet", SpecError, "class must be given"),
        ("timm:test_resnett?class=1", SpecError, "did you mean 'test_resnet'"),
        ("timm:test_resnet?class=1000,weights={weights}", SpecError, "it knows 1000 classes"),
        ("timm:test_resnet?class=tabbi,weights={weights}", SpecError, "did you mean 'tabby'"),
        ("timm:test_vit?class=1,weights={weights}", MissingWeightsError, "weights=.* does not fit"),
        ("timm:test_resnet?class=1,weights=no.pth", MissingWeightsError, "weights=no.pth"),
        ("timm:test_resnet?classs=1", SpecError, "class must be given|no option 'classs'"),
        ("torchmetrics", SpecError, "metric must be given; write torchmetrics:METRIC"),
        ("torchmetrics:total_variatio", SpecError, "did you mean 'TotalVariation'"),
        ("torchmetrics:frechet_inception_distance", SpecError, "one number for a set of images"),
        ("torchmetrics:perceptual_path_length", SpecError, "one number for a set of images"),
        ("pyiqa", SpecError, "metric must be given; write pyiqa:METRIC"),
        ("surrogate", SpecError, "path must be given; write surrogate:PATH"),
        ("callable", SpecError, "is written as FILE.py:FUNCTION"),
        ("normalized", SpecError, r"is written around its reward, as normalized\(ocr\)"),
        ("remote", SpecError, "is written http://HOST:PORT/NAME"),
    ],
)
def test_what_is_wrong_with_a_bridge_is_named(weights, spec, error, message):
    with pytest.raises(error, match=message):
        reward_zoo.load(spec.format(weights=weights))


def test_torchmetrics_are_oriented_and_single():
    from torchmetrics.functional.image import peak_signal_noise_ratio, total_variation

    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    reference = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    calm = reward_zoo.load("torchmetrics:TotalVariation")
    want = -torch.stack([total_variation(image[None]) for image in images])
    assert torch.allclose(calm(images=images).values, want)
    close = reward_zoo.load("torchmetrics:peak_signal_noise_ratio")
    assert close.card.needs == ("reference",)
    want = torch.stack([peak_signal_noise_ratio(image[None], reference, data_range=1.0) for image in images])
    assert torch.allclose(close(images=images, references=reference).values, want)
    with pytest.raises(NotDifferentiableError):
        calm(images=images.requires_grad_(True))


def test_a_distance_of_torchmetrics_by_any_argument_names_takes_a_reference(monkeypatch, images):
    class Distance(torchmetrics.image.PeakSignalNoiseRatio):  # as LPIPS, whose network is not here
        higher_is_better = False

        def __init__(self, normalize=False):
            super().__init__(data_range=1.0 if normalize else 2.0)

        def update(self, img1, img2):
            super().update(img1, img2)

    monkeypatch.setattr("torchmetrics.image.LearnedPerceptualImagePatchSimilarity", Distance)
    reward = reward_zoo.load("torchmetrics:learned_perceptual_image_patch_similarity")
    assert reward.card.needs == ("reference",)
    want = reward_zoo.load("torchmetrics:peak_signal_noise_ratio")(images=images, references=images / 2).values
    assert torch.allclose(reward(images=images, references=images / 2).values, -want)


@PYIQA
def test_pyiqa_is_oriented():
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = reward_zoo.load("pyiqa:psnr")(images=images, references=(images * 0.9))
    assert found.values.min() > reward_zoo.load("pyiqa:psnr")(images=images, references=1 - images).values.max()
    with pytest.raises(SpecError, match="did you mean 'psnr'"):
        reward_zoo.load("pyiqa:psnrr")


def test_a_missing_bridge_names_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyiqa", None)
    monkeypatch.setitem(__import__("sys").modules, "torchmetrics.image", None)
    for name in ("pyiqa:musiq", "torchmetrics:total_variation"):
        with pytest.raises(MissingWeightsError, match=r'pip install "lasro\[(iqa|pyiqa)\]"'):
            reward_zoo.load(name)
