"""Rewards that compare an image with a text in the space of one model. All differentiable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reward_zoo.card import RewardCard, Weights
from reward_zoo.errors import SpecError
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.clip_models import HubClip, HubSiglip, OpenClip
from reward_zoo.scores import Scores
from reward_zoo.weights import place_by_hand, weight_file

if TYPE_CHECKING:
    import torch

CLIP_L = "openai/clip-vit-large-patch14"
CLIP_H = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
SIGLIP = "google/siglip-so400m-patch14-384"
OPEN_CLIP_FILE = "open_clip_pytorch_model.bin"


def hub_weights(repo: str, file: str, size: int) -> Weights:
    """The card's entry of one hub file."""
    return Weights(repo, file, size, place_by_hand(repo, file))


def open_clip_checkpoint(model: str, pretrained: str, *, reward: str, given: str | None) -> Path:
    """The checkpoint of an open_clip model: the given file, else the hub's of that training tag.

    Raises:
        SpecError: the model is known, the tag is not one of its.
        MissingWeightsError: the file is nowhere.
    """
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    training = get_pretrained_cfg(model, pretrained)
    if not training and (tags := list_pretrained_tags_by_model(model)):
        raise SpecError(f"{reward}: option pretrained={pretrained!r} is no training of {model}; choose of {', '.join(tags)}")
    repo, _, file = training.get("hf_hub", "").rpartition("/")
    if not repo and given is None:
        raise SpecError(f"{reward}: model={model}, pretrained={pretrained} has no weights on the hub; give weights=FILE")
    return weight_file(repo or model, file or OPEN_CLIP_FILE, reward=reward, given=given)


class ClipScore(Reward):
    """Cosine of CLIP's image and text embeddings."""

    card = RewardCard(
        name="clip_score",
        summary="does the image match the prompt, by CLIP",
        range=(-1.0, 1.0),
        typical=(0.25, 0.05),
        differentiable=True,
        needs=("prompt",),
        image_size="any; shorter side to 224, middle square",
        prompt_token_limit=77,
        source="cos; the paper (CLIPScore, Hessel et al., 2021) has scale=2.5,clamp=true,prefix=A photo depicts",
        license="MIT (code and weights of openai/CLIP)",
        weights=(hub_weights(CLIP_L, "model.safetensors", 1_710_000_000),),
        components=("prompt_truncated",),
    )

    def __init__(self, *, weights: str | None = None, scale: float = 1.0, clamp: bool = False, prefix: str = "") -> None:
        self.model = HubClip(CLIP_L, reward=self.card.name, weights=weights)
        self.scale, self.clamp, self.prefix = scale, clamp, prefix
        self.card = replace(self.card, range=(0.0 if clamp else -scale, scale))

    def score(self, inputs: RewardInputs) -> Scores:
        """`scale` · cos, cut at 0 with `clamp`."""
        texts = self.model.embed_texts([f"{self.prefix} {prompt}".strip() for prompt in inputs.prompts], inputs.images.device)
        cosine = (self.model.embed_images(inputs.images) * texts.embeddings).sum(1)
        values = self.scale * (cosine.clamp(min=0) if self.clamp else cosine)
        return Scores(values=values, components={"prompt_truncated": texts.truncated})


class OpenClipScore(Reward):
    """Cosine of the embeddings of any model open_clip knows."""

    card = RewardCard(
        name="open_clip_score",
        summary="does the image match the prompt, by any open_clip model",
        range=(-1.0, 1.0),
        typical=(0.28, 0.06),
        differentiable=True,
        needs=("prompt",),
        image_size="any; shorter side to the model's size, middle square",
        prompt_token_limit=77,
        source="cos of open_clip embeddings; a ViT-H-14 trained on LAION-2B unless model= and pretrained= say otherwise; "
        "pretrained= also sets the preprocessing",
        license="MIT (code and the default weights); other weights have their own, some non-commercial",
        weights=(hub_weights(CLIP_H, OPEN_CLIP_FILE, 3_940_000_000),),
        components=("prompt_truncated",),
    )

    def __init__(
        self,
        *,
        model: str = "ViT-H-14",
        pretrained: str = "laion2b_s32b_b79k",
        weights: str | None = None,
        scale: float = 1.0,
    ) -> None:
        checkpoint = open_clip_checkpoint(model, pretrained, reward=self.card.name, given=weights)
        self.model, self.scale = OpenClip(model, checkpoint, reward=self.card.name, tag=pretrained), scale
        self.card = replace(self.card, range=(-scale, scale), prompt_token_limit=self.model.limit)

    def score(self, inputs: RewardInputs) -> Scores:
        """`scale` · cos."""
        texts = self.model.embed_texts(inputs.prompts, inputs.images.device)
        values = self.scale * (self.model.embed_images(inputs.images) * texts.embeddings).sum(1)
        return Scores(values=values, components={"prompt_truncated": texts.truncated})


class SiglipScore(Reward):
    """SigLIP's probability that image and text belong together."""

    card = RewardCard(
        name="siglip_score",
        summary="does the image match the prompt, by SigLIP: a logit, or with probability=true its sigmoid",
        range=(float("-inf"), float("inf")),
        typical=(-5.0, 5.0),
        differentiable=True,
        needs=("prompt",),
        image_size="any; squeezed to 384×384",
        prompt_token_limit=64,
        source="SigLIP (Zhai et al., 2023): exp(scale)·cos + bias",
        license="Apache-2.0",
        weights=(hub_weights(SIGLIP, "model.safetensors", 3_510_000_000),),
        components=("prompt_truncated",),
    )

    def __init__(self, *, weights: str | None = None, probability: bool = False) -> None:
        self.model, self.probability = HubSiglip(SIGLIP, reward=self.card.name, weights=weights), probability
        if probability:
            self.card = replace(self.card, range=(0.0, 1.0))

    def score(self, inputs: RewardInputs) -> Scores:
        """The logit: it keeps a gradient where the probability is 0 or 1."""
        texts, model = self.model.embed_texts(inputs.prompts, inputs.images.device), self.model.model
        cosine = (self.model.embed_images(inputs.images) * texts.embeddings).sum(1)
        logit = model.logit_scale.exp() * cosine + model.logit_bias
        values = logit.sigmoid() if self.probability else logit
        return Scores(values=values.reshape(-1), components={"prompt_truncated": texts.truncated})


class PromptPair(Reward):
    """How much nearer an image is to one text than to its opposite."""

    card = RewardCard(
        name="prompt_pair",
        summary="any quality with an opposite: positive= against negative=, by CLIP",
        range=(0.0, 1.0),
        typical=(0.5, 0.25),
        differentiable=True,
        image_size="any; shorter side to 224, middle square",
        prompt_token_limit=77,
        source="CLIP-IQA (Wang et al., 2023): softmax of 100·cos over the two texts; without its removed position embedding",
        license="MIT (code and weights of openai/CLIP)",
        weights=(hub_weights(CLIP_L, "model.safetensors", 1_710_000_000),),
    )

    def __init__(
        self, *, positive: str = "Good photo.", negative: str = "Bad photo.", scale: float = 100.0, weights: str | None = None
    ) -> None:
        self.model = HubClip(CLIP_L, reward=self.card.name, weights=weights)
        self.pair, self.scale = [positive, negative], scale

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """The share of `positive`."""
        texts = self.model.embed_texts(self.pair, inputs.images.device)
        cosines = self.model.embed_images(inputs.images) @ texts.embeddings.T
        return (self.scale * cosines).softmax(1)[:, 0]
