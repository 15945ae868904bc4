"""Likeness to a reference: highest for the reference itself, lower the more an image is changed."""

import warnings

import pytest
import torch

import reward_zoo
from reward_zoo.errors import MissingInputError, MissingWeightsError
from tests.tiny.rewards import SPECS

NAMES = ["clip_image_similarity", "dino_similarity", "lpips_similarity"]


@pytest.fixture(scope="module", params=NAMES)
def reward(request, tmp_path_factory):
    return reward_zoo.load(SPECS[request.param](tmp_path_factory.mktemp(request.param)))


def test_the_reference_itself_scores_highest(reward):
    draw = torch.Generator().manual_seed(0)
    reference = torch.rand(1, 3, 64, 80, generator=draw)
    noise = torch.rand(1, 3, 64, 80, generator=draw)
    images = torch.cat([reference, reference.lerp(noise, 0.3), noise])
    same, near, far = reward(images=images, references=reference).values.tolist()
    assert same == pytest.approx(reward.card.range[1] if reward.card.range[1] != float("inf") else 1.0, abs=1e-5)
    assert same > max(near, far)
    if reward.card.name == "lpips_similarity":  # the others' random towers know no near and far
        assert near > far


def test_references_are_one_or_one_an_image(reward, images):
    with pytest.raises(MissingInputError, match="references: 3 given for 4"):
        reward(images=images, references=images[:3])


def test_a_wrong_alexnet_is_named(tmp_path):
    file = tmp_path / "alexnet.pth"
    torch.save({"layer1.weight": torch.zeros(1)}, file)
    with pytest.raises(MissingWeightsError, match=r"is not torchvision's AlexNet \(KeyError: 'features\.0\.weight'\)"):
        reward_zoo.load(f"lpips_similarity:weights={file}")
    file.write_bytes(b"no weights")
    with pytest.raises(MissingWeightsError, match="is not torchvision's AlexNet"):
        reward_zoo.load(f"lpips_similarity:weights={file}")


def test_a_missing_alexnet_names_its_place(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError, match=r"cannot be fetched.*put them at \$LASRO_WEIGHTS/alexnet-owt"):
        reward_zoo.load("lpips_similarity")


def test_lpips_is_the_package_s_number(tmp_path):
    """Against the package itself, filled layer by layer in torchvision's order."""
    import lpips

    reward = reward_zoo.load(SPECS["lpips_similarity"](tmp_path))
    state = torch.load(tmp_path / "alexnet.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    layers = [layer for layer in package.net.modules() if isinstance(layer, torch.nn.Conv2d)]
    for layer, number in zip(layers, (0, 3, 6, 8, 10), strict=True):
        layer.weight.data, layer.bias.data = state[f"features.{number}.weight"], state[f"features.{number}.bias"]
    image, reference = torch.rand(2, 3, 3, 70, 90, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        want = -package(2 * image - 1, 2 * reference - 1).flatten()
    assert torch.allclose(reward(images=image, references=reference).values, want, atol=1e-5)


def test_a_flat_image_has_a_finite_gradient(reward):
    flat = torch.zeros(1, 3, 64, 64, requires_grad=True)
    reward(images=flat, references=torch.full((1, 3, 64, 64), 0.5)).values.sum().backward()
    assert flat.grad.isfinite().all()
