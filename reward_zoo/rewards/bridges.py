"""Bridges to whole libraries: `timm:MODEL?class=…`, `torchmetrics:NAME`, `pyiqa:NAME`."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reward_zoo.card import RewardCard
from reward_zoo.errors import MissingWeightsError, SpecError, did_you_mean
from reward_zoo.models import frozen
from reward_zoo.preprocessing import center_crop, normalise, resize, resize_shortest
from reward_zoo.reward import Reward, RewardInputs
from reward_zoo.rewards.clip_models import read_state

if TYPE_CHECKING:
    import torch

EVERYTHING = (float("-inf"), float("inf"))
OF_A_SET = ("inceptionscore", "inceptiondistance", "pathlength")  # endings of metrics that judge a whole set of images
OF_UNIT_RANGE = {"data_range": 1.0, "normalize": True}  # what a metric is told where it asks: images are in [0, 1]


class Timm(Reward):
    """How sure a classifier of timm is that the image shows a class."""

    argument: ClassVar[str] = "model"
    card = RewardCard(
        name="timm",
        summary="an image classifier's probability of a class: timm:resnet50?class=281, timm:resnet50?class=tabby",
        range=EVERYTHING,
        typical=(0.1, 0.25),
        differentiable=True,
        image_size="any; resized and cropped as the model's pretrained configuration says",
        source="timm (Wightman), any classifier it lists; log=true gives the log-probability, which keeps a gradient far away",
        license="Apache-2.0 (timm); each model's weights have their own",
    )

    def __init__(self, *, model: str, class_: str, log: bool = False, weights: str | None = None) -> None:
        import timm

        if not timm.is_model(model):
            raise SpecError(f"timm:{model}: timm has no such model; {did_you_mean(model, timm.list_models())}")
        try:
            network = timm.create_model(model, pretrained=weights is None)
            if weights is not None:
                network.load_state_dict(read_state(Path(weights).expanduser()))
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            where = f"weights={weights} does not fit" if weights else "its weights cannot be fetched"
            raise MissingWeightsError(f"timm:{model}: {where} ({reason}); give weights=FILE of this model") from error
        self.network, self.log = frozen(network), log
        self.number = class_number(class_, network.num_classes, model)
        self.data = timm.data.resolve_model_data_config(network)
        if self.data["crop_mode"] not in ("center", "squash"):
            raise SpecError(f"timm:{model}: its crop mode {self.data['crop_mode']} is not known here; choose another model")
        self.card = replace(self.card, name=f"timm:{model}", range=(float("-inf"), 0.0) if log else (0.0, 1.0))

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """P(class), or its logarithm."""
        found = self.network.to(inputs.images.device)(self._pixels(inputs.images)).log_softmax(1)[:, self.number]
        return found if self.log else found.exp()

    def _pixels(self, images: torch.Tensor) -> torch.Tensor:
        _, height, width = self.data["input_size"]
        mode = "bilinear" if self.data["interpolation"] == "bilinear" else "bicubic"
        if self.data["crop_mode"] == "squash" or height != width:
            images = resize(images, height, width, mode=mode)
        else:
            images = center_crop(resize_shortest(images, math.floor(height / self.data["crop_pct"]), mode=mode), height)
        return normalise(images, self.data["mean"], self.data["std"])


def class_number(text: str, count: int, model: str) -> int:
    """A class by number, or by one of its names among ImageNet's thousand.

    Raises:
        SpecError: no such class.
    """
    if text.isdigit():
        if int(text) >= count:
            raise SpecError(f"timm:{model}: class={text}, but it knows {count} classes, numbered from 0")
        return int(text)
    if count != 1000:
        raise SpecError(
            f"timm:{model}: class={text}: only the classes of ImageNet-1k have names here; give a number below {count}"
        )
    from timm.data import ImageNetInfo

    info, known = ImageNetInfo(), {}
    for number in range(count):
        for name in info.index_to_description(number).split(","):
            known.setdefault(name.strip().lower(), number)  # a few names stand for two classes: the first
    if text.lower() not in known:
        raise SpecError(f"timm:{model}: class={text} is not of ImageNet-1k; {did_you_mean(text.lower(), known)}")
    return known[text.lower()]


class TorchMetrics(Reward):
    """An image metric of torchmetrics, image by image; higher is better, so distances are negated."""

    argument: ClassVar[str] = "metric"
    card = RewardCard(
        name="torchmetrics",
        summary="an image metric of torchmetrics, one value an image: torchmetrics:total_variation",
        range=EVERYTHING,
        typical=(0.0, 1.0),
        image_size="as the metric takes it; a reference is brought to the image's size",
        source="torchmetrics.image; the sign from each metric's higher_is_better",
        license="Apache-2.0 (torchmetrics); a metric's weights have their own",
        requires=("torchmetrics",),
        extra="iqa",
    )

    def __init__(self, *, metric: str) -> None:
        try:
            import torchmetrics.image as library
        except ImportError as error:
            raise MissingWeightsError('torchmetrics: the package is missing; pip install "lasro[iqa]"') from error
        squeezed = metric.replace("_", "").lower()
        if squeezed.endswith(OF_A_SET):
            raise SpecError(f"torchmetrics:{metric}: is one number for a set of images, not one an image; it is no reward")
        name = {known.lower(): known for known in library.__all__}.get(squeezed)
        if name is None:
            raise SpecError(f"torchmetrics:{metric}: no image metric of that name; {did_you_mean(metric, library.__all__)}")
        kind = getattr(library, name)
        if kind.higher_is_better is None:
            raise SpecError(f"torchmetrics:{name}: does not say whether higher is better; wrap it in a function of your own")
        options = {key: value for key, value in OF_UNIT_RANGE.items() if key in inspect.signature(kind).parameters}
        try:
            self.metric = kind(**options)
        except Exception as error:
            raise MissingWeightsError(f"torchmetrics:{name}: cannot be built ({error}); see its documentation") from error
        self.sign = 1.0 if kind.higher_is_better else -1.0
        self.pairs = len(inspect.signature(kind.update).parameters) == 3  # self, and two images
        needs = ("reference",) if self.pairs else ()
        self.card = replace(self.card, name=f"torchmetrics:{name}", needs=needs, differentiable=False)

    def score(self, inputs: RewardInputs) -> list[float]:
        """One call of the metric an image."""
        metric = self.metric.to(inputs.images.device)
        pairs = [inputs.images]
        if self.pairs:
            pairs.append(resize(inputs.references, *inputs.images.shape[-2:]))
        found = []
        for row in range(len(inputs.images)):
            metric.reset()
            metric.update(*(part[row : row + 1] for part in pairs))
            found.append(self.sign * float(metric.compute()))
        return found


class Pyiqa(Reward):
    """A metric of pyiqa; higher is better, so distances are negated."""

    argument: ClassVar[str] = "metric"
    card = RewardCard(
        name="pyiqa",
        summary="an image-quality metric of pyiqa: pyiqa:musiq, pyiqa:brisque; with a reference pyiqa:ssim",
        range=EVERYTHING,
        typical=(0.5, 0.2),
        image_size="as the metric takes it; a reference is brought to the image's size",
        source="pyiqa (Chen et al.); the sign from each metric's lower_better",
        license="non-commercial: PolyForm Noncommercial 1.0.0 and NTU S-Lab 1.0 (pyiqa); metrics have their own besides",
        requires=("pyiqa",),
        extra="pyiqa",
    )

    def __init__(self, *, metric: str) -> None:
        try:
            import pyiqa
        except ImportError as error:
            raise MissingWeightsError('pyiqa: the package is missing; pip install "lasro[pyiqa]" (non-commercial)') from error
        if metric not in pyiqa.list_models():
            raise SpecError(f"pyiqa:{metric}: no such metric; {did_you_mean(metric, pyiqa.list_models())}")
        try:
            self.metric: Any = pyiqa.create_metric(metric, device="cpu", as_loss=False)
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise MissingWeightsError(
                f"pyiqa:{metric}: cannot be built ({reason}); pyiqa fetches its weights itself"
            ) from error
        self.pairs = self.metric.metric_mode == "FR"
        self.sign = -1.0 if self.metric.lower_better else 1.0
        self.card = replace(self.card, name=f"pyiqa:{metric}", needs=("reference",) if self.pairs else ())

    def score(self, inputs: RewardInputs) -> torch.Tensor:
        """The metric of each image, or of each pair."""
        pairs = [inputs.images]
        if self.pairs:
            pairs.append(resize(inputs.references, *inputs.images.shape[-2:]))
        return self.sign * self.metric(*pairs).reshape(len(inputs.images))
