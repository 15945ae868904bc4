"""Published packages as they are, each in an environment of its own: the referees of lasro's ports."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from reward_zoo.card import RewardCard
from reward_zoo.errors import MissingWeightsError, first_line
from reward_zoo.images import to_uint8
from reward_zoo.models import frozen
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.blip import IMAGE_REWARD, TOKENIZER
from reward_zoo.rewards.blip_models import TOKEN_LIMIT, bert_tokenizer
from reward_zoo.rewards.clip import hub_weights
from reward_zoo.rewards.clip_models import read_state
from reward_zoo.weights import weight_file


class ImageRewardOriginal(Reward):
    """The package image-reward 1.5, with versions of its dependencies in which it still imports."""

    card = RewardCard(
        name="image_reward_original",
        summary="ImageReward by its own package, in an environment of its own; image_reward is the same, faster",
        range=(float("-inf"), float("inf")),
        typical=(0.0, 1.0),
        needs=("prompt",),
        image_size="any; rounded to 8 bits, shorter side to 224, middle square",
        prompt_token_limit=TOKEN_LIMIT,
        source="ImageReward (Xu et al., 2023), image-reward 1.5 on PyPI: ImageReward.score",
        license="Apache-2.0",
        weights=(
            hub_weights(IMAGE_REWARD, "ImageReward.pt", 1_790_000_000),
            hub_weights(IMAGE_REWARD, "med_config.json", 500),
            TOKENIZER,
        ),
        requirements=(
            "image-reward==1.5",
            "openai-clip",
            "setuptools<70",
            "transformers==4.45.2",
            "diffusers==0.31.0",
            "huggingface-hub<0.30",
            "datasets<3.3",
            "pyarrow<20",
            "numpy<2",
            "torch<2.9",
        ),
        python="3.11",
    )

    def __init__(self, *, weights: str | None = None) -> None:
        name = self.card.name
        file = weight_file(IMAGE_REWARD, "ImageReward.pt", reward=name, given=weights)
        beside = None if weights is None else str(file.parent)
        config = weight_file(IMAGE_REWARD, "med_config.json", reward=name, given=beside)
        try:
            self.model = _network(config, file.parent, name)
            found = self.model.load_state_dict(read_state(file), strict=False)  # as the package does
        except MissingWeightsError:
            raise
        except Exception as error:
            raise MissingWeightsError(f"{name}: {file} is not its checkpoint ({first_line(error)})") from error
        if found.missing_keys:
            raise MissingWeightsError(f"{name}: {file} lacks {min(found.missing_keys)}, …")
        frozen(self.model)

    def score(self, inputs: RewardInputs) -> list[float]:
        """The package's own call for each image."""
        from PIL import Image

        self.model.device = inputs.images.device
        self.model.to(inputs.images.device)
        pictures = map(Image.fromarray, to_uint8(inputs.images))
        return [self.model.score(prompt, picture) for prompt, picture in zip(inputs.prompts, pictures, strict=True)]


def _network(config: Path, folder: Path, reward: str) -> Any:  # noqa: ANN401 - of a package that is not here
    """The package's network. It asks the hub for its tokenizer; here that is found as other rewards find theirs."""
    from ImageReward.ImageReward import ImageReward
    from ImageReward.models.BLIP import blip

    blip.BertTokenizer = SimpleNamespace(from_pretrained=lambda _: bert_tokenizer(folder, reward))
    return ImageReward(med_config=str(config))
