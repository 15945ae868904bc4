"""Likeness to a reference: highest for the reference itself, lower the more an image is changed."""

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


def test_lpips_is_the_package_s_own(tmp_path):
    """The backbone's weights land where lpips expects them: each layer is torchvision's of the same number."""
    spec = SPECS["lpips_similarity"](tmp_path)
    reward, state = reward_zoo.load(spec), torch.load(tmp_path / "alexnet.pth")
    pairs = [(key, value) for key, value in reward.model.net.state_dict().items()]
    assert len(pairs) == 10
    for key, value in pairs:
        assert torch.equal(value, state[".".join(["features", *key.split(".")[-2:]])]), key


def test_a_wrong_alexnet_is_named(tmp_path):
    (tmp_path / "alexnet.pth").write_bytes(b"no weights")
    with pytest.raises(MissingWeightsError, match="is not torchvision's AlexNet"):
        reward_zoo.load(f"lpips_similarity:weights={tmp_path / 'alexnet.pth'}")
