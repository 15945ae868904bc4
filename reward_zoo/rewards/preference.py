"""Rewards trained on people's choices between images, on CLIP towers. All differentiable."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from reward_zoo.card import RewardCard
from reward_zoo.preprocessing import resize_longest_and_pad
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.clip import CLIP_H, hub_weights
from reward_zoo.rewards.clip_models import HubClip, OpenClip
from reward_zoo.scores import Scores
from reward_zoo.weights import weight_file

PICKSCORE = "yuvalkirstain/PickScore_v1"
HPS = "xswu/HPSv2"
HPS_FILES = {"2.0": "HPS_v2_compressed.pt", "2.1": "HPS_v2.1_compressed.pt"}


class PickScore(Reward):
    """PickScore: a CLIP-H tuned on the choices of Pick-a-Pic's users."""

    card = RewardCard(
        name="pickscore",
        summary="which image would people pick for this prompt (Pick-a-Pic)",
        range=(float("-inf"), float("inf")),
        typical=(21.0, 1.5),
        differentiable=True,
        needs=("prompt",),
        image_size="any; shorter side to 224, middle square",
        prompt_token_limit=77,
        source="PickScore (Kirstain et al., 2023): exp(logit_scale)·cos; scale=26 divides as the flow_grpo family does",
        license="MIT (repository); the weights name none of their own",
        weights=(hub_weights(PICKSCORE, "model.safetensors", 3_940_000_000),),
        components=("prompt_truncated",),
    )

    def __init__(self, *, weights: str | None = None, scale: float = 1.0) -> None:
        self.model = HubClip(PICKSCORE, reward=self.card.name, weights=weights, tokenizer=CLIP_H)
        self.scale = scale

    def score(self, inputs: RewardInputs) -> Scores:
        """exp(logit_scale) · cos / `scale`."""
        texts = self.model.embed_texts(inputs.prompts, inputs.images.device)
        cosine = (self.model.embed_images(inputs.images) * texts.embeddings).sum(1)
        return Scores(values=self.model.logit_scale * cosine / self.scale, components={"prompt_truncated": texts.truncated})


class HpsV2(Reward):
    """Human Preference Score v2 and v2.1: a ViT-H-14 of open_clip tuned on HPDv2."""

    card = RewardCard(
        name="hpsv2",
        summary="which image would people prefer for this prompt (HPDv2)",
        range=(-1.0, 1.0),
        typical=(0.27, 0.03),
        differentiable=True,
        needs=("prompt",),
        image_size="any; longer side to 224, padded with black: nothing is cropped",
        prompt_token_limit=77,
        source="HPSv2 (Wu et al., 2023): cos, without the logit scale; its README multiplies by 100",
        license="Apache-2.0",
        weights=(
            hub_weights(HPS, HPS_FILES["2.1"], 1_970_000_000),
            replace(hub_weights(HPS, HPS_FILES["2.0"], 1_970_000_000), optional="version=2.0"),
        ),
        components=("prompt_truncated",),
    )

    def __init__(
        self, *, version: Literal["2.0", "2.1"] = "2.1", weights: str | None = None, model: str = "ViT-H-14", scale: float = 1.0
    ) -> None:
        checkpoint = weight_file(HPS, HPS_FILES[version], reward=self.card.name, given=weights)
        self.model, self.scale = OpenClip(model, checkpoint, reward=self.card.name), scale
        self.card = replace(self.card, range=(-scale, scale))

    def score(self, inputs: RewardInputs) -> Scores:
        """`scale` · cos."""
        texts = self.model.embed_texts(inputs.prompts, inputs.images.device)
        pixels = resize_longest_and_pad(inputs.images, self.model.size)
        values = self.scale * (self.model.embed_pixels(pixels) * texts.embeddings).sum(1)
        return Scores(values=values, components={"prompt_truncated": texts.truncated})
