"""`geneval`: counts, colours and positions of objects, by GenEval's clauses over any detector."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reward_zoo.card import RewardCard
from reward_zoo.clauses import Detection, dense_score, strict_score
from reward_zoo.errors import MissingInputError, RewardFailedError, SpecError
from reward_zoo.images import to_uint8
from reward_zoo.models import frozen
from reward_zoo.reward import Reward, RewardInputs, no_metadata
from reward_zoo.rewards.clip import hub_weights
from reward_zoo.rewards.clip_models import load_model
from reward_zoo.scores import Scores
from reward_zoo.text_variants import another_prompt
from reward_zoo.user_code import load_attribute
from reward_zoo.weights import weight_folder

if TYPE_CHECKING:
    import random

DETR = "facebook/detr-resnet-50"
BOXES_A_CLASS = 16
COLORS = {
    "red": (200, 30, 35),
    "orange": (240, 135, 30),
    "yellow": (240, 220, 50),
    "green": (45, 145, 60),
    "blue": (35, 80, 190),
    "purple": (120, 50, 150),
    "pink": (240, 150, 185),
    "brown": (115, 75, 40),
    "black": (20, 20, 20),
    "white": (240, 240, 240),
}
Detector = Callable[[np.ndarray], list[list[Detection]]]


class GenEval(Reward):
    """Clauses of a metadata record, checked on detected objects."""

    card = RewardCard(
        name="geneval",
        summary="are the right objects there, as many, of that colour, in that place (GenEval's clauses)",
        range=(-float(BOXES_A_CLASS), 1.0),
        typical=(0.5, 0.4),
        needs=("metadata",),
        image_size="as the detector has it",
        source="GenEval (Ghosh et al., 2023), dense form of flow_grpo with its position bug mended; detector: DETR or "
        "the user's, not the benchmark's Mask2Former: scores compare with each other, not with published ones",
        license="MIT (clauses), Apache-2.0 (DETR)",
        weights=(hub_weights(DETR, "model.safetensors", 167_000_000),),
        perceives="the detected objects, as JSON",
        version="2",
        components=("strict", "dense", "objects"),
    )

    def __init__(
        self,
        *,
        mode: Literal["dense", "strict"] = "dense",
        detector: str = "detr",
        weights: str | None = None,
        threshold: float = 0.3,
        counting_threshold: float = 0.9,
    ) -> None:
        self.mode, self.threshold, self.counting_threshold = mode, threshold, counting_threshold
        self.detector = user_detector(detector) if ":" in detector else DetrDetector(detector, weights)

    def score(self, inputs: RewardInputs) -> Scores:
        """`mode`'s score; both are components."""
        import torch

        pictures = to_uint8(inputs.images)
        everything = self.detector(pictures)
        if len(everything) != len(pictures):
            raise RewardFailedError(f"geneval: the detector answered for {len(everything)} of {len(pictures)} images")
        seen, judged = [], []
        for picture, record, detections in zip(pictures, inputs.metadata, everything, strict=True):
            if not record.get("include"):
                raise MissingInputError(f"geneval: metadata {record} has no 'include' list of objects")
            seen.append([replace(item, color=_color_of(picture, item)) for item in self._kept(detections)])
            judged.append(self._judge(record, seen[-1]))
        components = {name: torch.tensor([row[name] for row in judged]) for name in self.card.components}
        return Scores(
            values=components[self.mode],
            components=components,
            perceived=[json.dumps([asdict(item) for item in found]) for found in seen],
        )

    def hindsight(
        self,
        prompt: str,
        perceived: str,
        rng: random.Random,
        *,
        others: Sequence[str] = (),
        metadata_of: Callable[[str], dict[str, Any] | None] = no_metadata,
    ) -> tuple[str, float] | None:
        """One of the other prompts, and what the objects seen score by its record."""
        seen = [Detection(**item) for item in json.loads(perceived or "[]")]

        def score(other: str) -> float | None:
            record = metadata_of(other)
            return self._judge(record, seen)[self.mode] if record and record.get("include") else None

        return another_prompt(prompt, others, rng, score)

    def _kept(self, detections: list[Detection]) -> list[Detection]:
        """The surest of each class, of those sure enough for any record."""
        floor = min(self.threshold, self.counting_threshold)
        sure = sorted((item for item in detections if item.score >= floor), key=lambda item: -item.score)
        taken: dict[str, int] = {}
        kept = []
        for item in sure:
            taken[item.label] = taken.get(item.label, 0) + 1
            kept += [item] if taken[item.label] <= BOXES_A_CLASS else []
        return kept

    def _judge(self, record: dict[str, Any], seen: list[Detection]) -> dict[str, float]:
        """All components by a record, of the objects sure enough for it."""
        floor = self.counting_threshold if record.get("tag") == "counting" else self.threshold
        found = [item for item in seen if item.score >= floor]
        return {"strict": strict_score(record, found), "dense": dense_score(record, found), "objects": float(len(found))}


class DetrDetector:
    """DETR of transformers, trained on COCO's 80 classes (GenEval's)."""

    def __init__(self, name: str, weights: str | None) -> None:
        if name != "detr":
            raise SpecError(f"geneval: detector={name!r} is not known; write detr, or FILE.py:FUNCTION")
        from transformers import AutoImageProcessor, DetrForObjectDetection

        folder = weight_folder(DETR, reward="geneval", given=weights)
        self.model = frozen(load_model(DetrForObjectDetection, folder, "geneval"))
        self.processor = load_model(AutoImageProcessor, folder, "geneval")

    def __call__(self, pictures: np.ndarray) -> list[list[Detection]]:
        """Objects of each uint8 H×W×3 picture, every confidence."""
        import torch

        with torch.no_grad():
            outputs = self.model(**self.processor(images=list(pictures), return_tensors="pt"))
        sizes = [picture.shape[:2] for picture in pictures]
        found = self.processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)
        names = self.model.config.id2label
        return [
            [
                Detection(names[label], score, tuple(box))
                for label, score, box in zip(one["labels"].tolist(), one["scores"].tolist(), one["boxes"].tolist(), strict=True)
            ]
            for one in found
        ]


def user_detector(spec: str) -> Detector:
    """A user's function: uint8 pictures B×H×W×3 → for each a list of (label, score, (left, top, right, bottom))."""
    function = load_attribute(*spec.rsplit(":", 1))

    def detect(pictures: np.ndarray) -> list[list[Detection]]:
        return [
            [Detection(str(label), float(score), tuple(map(float, box))) for label, score, box in one]
            for one in function(pictures)
        ]

    return detect


def _color_of(picture: np.ndarray, item: Detection) -> str:
    """The named colour nearest to the median of the middle half of an object's box."""
    left, top, right, bottom = item.box
    rows = slice(max(0, int(top + (bottom - top) / 4)), max(1, int(bottom - (bottom - top) / 4)))
    columns = slice(max(0, int(left + (right - left) / 4)), max(1, int(right - (right - left) / 4)))
    middle = picture[rows, columns].reshape(-1, 3)
    if not len(middle):
        return ""
    gaps = {name: np.square(np.median(middle, axis=0) - value).sum() for name, value in COLORS.items()}
    return min(gaps, key=gaps.get)
