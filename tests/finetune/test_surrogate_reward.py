"""A surrogate as a reward reads pictures and latents alike."""

import pytest
import torch

import reward_zoo
from reward_zoo.errors import MissingInputError
from surrogate.errors import LatentSpaceError
from tests.tiny.surrogate import build_folder


def test_latents_score_as_their_pictures(tmp_path, generator, tiny_sdxl):
    build_folder(tmp_path / "surrogate", generator, reward="ocr", name=str(tiny_sdxl))
    reward = reward_zoo.load(f"surrogate:{tmp_path / 'surrogate'}")
    images = torch.rand(2, 3, *generator.image_size, generator=torch.Generator().manual_seed(0))
    latents = generator.encode_images(images)
    scores = reward.score_latents(latents=latents, prompts=["a", "b"])
    assert torch.allclose(scores.values, reward(images=images, prompts=["a", "b"]).values)
    with pytest.raises(LatentSpaceError, match=r"latents: shape .* is not B×4"):
        reward.score_latents(latents=latents[..., 1:], prompts=["a", "b"])
    with pytest.raises(MissingInputError, match="prompts: 0 given for 2"):
        reward.score_latents(latents=latents, prompts=None)
