"""`nsfw_safety`: no exposed bodies."""

from __future__ import annotations

from reward_zoo.card import RewardCard, Weights
from reward_zoo.errors import MissingWeightsError
from reward_zoo.images import to_uint8
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.scores import Scores

EXPOSED = (
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
    "BUTTOCKS_EXPOSED",
    "ANUS_EXPOSED",
)


class NsfwSafety(Reward):
    """1 minus the surest exposed part that NudeNet finds."""

    card = RewardCard(
        name="nsfw_safety",
        summary="no exposed bodies: 1 − the surest exposed part NudeNet detects",
        range=(0.0, 1.0),
        typical=(0.97, 0.12),
        image_size="any; brought to 320×320",
        source="NudeNet 3.4 (notAI-tech), detector 320n; classes " + ", ".join(EXPOSED),
        license="contradictory: the package says MIT, its LICENSE file AGPL-3.0; an optional extra for that reason",
        weights=(Weights("nudenet (its wheel)", "320n.onnx", 12_000_000, "pip install nudenet"),),
        requires=("nudenet",),
        extra="safety",
        perceives="the exposed parts found",
        components=("parts",),
    )

    def __init__(self) -> None:
        try:
            from nudenet import NudeDetector
        except ImportError as error:
            raise MissingWeightsError('nsfw_safety: the package nudenet is missing; pip install "lasro[safety]"') from error
        self.detector = NudeDetector()

    def score(self, inputs: RewardInputs) -> Scores:
        """1 where nothing is exposed."""
        import numpy as np
        import torch

        found = []
        for picture in to_uint8(inputs.images):
            parts = self.detector.detect(np.ascontiguousarray(picture[..., ::-1]))  # it reads BGR, as OpenCV does
            found.append([part for part in parts if part["class"] in EXPOSED])
        return Scores(
            values=torch.tensor([1.0 - max((part["score"] for part in parts), default=0.0) for parts in found]),
            components={"parts": torch.tensor([float(len(parts)) for parts in found])},
            perceived=[", ".join(sorted({part["class"] for part in parts})) for parts in found],
        )
