"""Rewards of there being text at all, whatever it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reward_zoo.card import READ_TEXT, RewardCard
from reward_zoo.images import to_uint8
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.ocr import Ocr
from reward_zoo.rewards.ocr_engines import load_engine
from reward_zoo.scores import Scores

if TYPE_CHECKING:
    import torch


class OcrConfidence(Reward):
    """Legible and large text: how sure the engine is, times how much of the picture it read."""

    card = RewardCard(
        name="ocr_confidence",
        summary="legible, large text, whatever it says: the engine's confidence times the share of the picture it covers",
        range=(0.0, 1.0),
        typical=(0.1, 0.15),
        image_size=Ocr.card.image_size,
        source="mean confidence of the lines read × share of the picture in their boxes",
        license=Ocr.card.license,
        weights=Ocr.card.weights,
        extra=Ocr.card.extra,
        perceives=READ_TEXT,
        components=("confidence", "area"),
    )

    def __init__(self, *, engine: str = "rapidocr", weights: str | None = None) -> None:
        self.engine = load_engine(engine, weights, self.card.name)

    def score(self, inputs: RewardInputs) -> Scores:
        """Confidence · area; 0 where nothing is read."""
        import torch

        readings = self.engine.read(list(to_uint8(inputs.images)))
        confidence = torch.tensor([reading.confidence for reading in readings])
        area = torch.tensor([reading.area for reading in readings])
        return Scores(
            values=self.combine(confidence, area),
            components={"confidence": confidence, "area": area},
            perceived=[reading.text for reading in readings],
        )

    def combine(self, confidence: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
        """The score of confidences and shares, (B,) each."""
        return confidence * area


class TextFree(OcrConfidence):
    """No text, no watermark."""

    card = RewardCard(
        name="text_free",
        summary="no text and no watermark: 1 − the share of the picture that text covers",
        range=(0.0, 1.0),
        typical=(0.97, 0.06),
        image_size=Ocr.card.image_size,
        source="1 − share of the picture in the boxes of lines read",
        license=Ocr.card.license,
        weights=Ocr.card.weights,
        extra=Ocr.card.extra,
        perceives=READ_TEXT,
        components=("confidence", "area"),
    )

    def combine(self, confidence: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
        """1 where nothing is read."""
        return 1 - area
