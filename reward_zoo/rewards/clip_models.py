"""Image-and-text models behind one small face: pixels and texts in, normalised embeddings out, with gradient."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reward_zoo.errors import MissingWeightsError
from reward_zoo.models import frozen, tokenise
from reward_zoo.preprocessing import CLIP_MEAN, CLIP_STD, HALF, normalise, resize, resize_and_crop, resize_longest_and_pad
from reward_zoo.weights import weight_folder

if TYPE_CHECKING:
    import torch

TEXT_FILES = ("*.json", "*.txt", "*.model")
MODEL_FILES = (*TEXT_FILES, "model*.safetensors")  # repositories hold the same weights in up to four formats


@dataclass(frozen=True)
class Texts:
    """Embeddings B×D of length 1, and which texts were cut at the model's limit (B,)."""

    embeddings: torch.Tensor
    truncated: torch.Tensor


class HubClip:
    """A CLIP of transformers' format. Images: shorter side to the model's size, middle square, CLIP's mean and std.

    Raises:
        MissingWeightsError: the folder is not on this machine, or holds no such model.
    """

    def __init__(self, repo: str, *, reward: str, weights: str | None, tokenizer: str = "") -> None:
        from transformers import CLIPModel, CLIPTokenizerFast

        folder = weight_folder(repo, reward=reward, given=weights, patterns=MODEL_FILES)
        self.model = frozen(load_model(CLIPModel, folder, reward))
        own = (folder / "tokenizer_config.json").is_file()
        texts = folder if own else weight_folder(tokenizer or repo, reward=reward, patterns=TEXT_FILES)
        self.tokenizer = load_model(CLIPTokenizerFast, texts, reward)
        self.limit = self.model.config.text_config.max_position_embeddings
        self.size = self.model.config.vision_config.image_size
        self.mean, self.std = pixel_statistics(folder, CLIP_MEAN, CLIP_STD)

    @property
    def logit_scale(self) -> torch.Tensor:
        """exp(logit_scale), a scalar."""
        return self.model.logit_scale.exp()

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """B×3×H×W in [0, 1] → B×D of length 1."""
        self.model.to(images.device)
        pixels = normalise(resize_and_crop(images, self.size, round_down=True), self.mean, self.std)
        return unit(self.model.get_image_features(pixels).pooler_output)

    def embed_texts(self, texts: Sequence[str], device: torch.device) -> Texts:
        """Texts → embeddings on the images' device; each different text is encoded once."""
        self.model.to(device)
        return embed_each_once(self._embed_texts, texts)

    def _embed_texts(self, texts: Sequence[str]) -> Texts:
        tokens, truncated = tokenise(self.tokenizer, texts, self.limit)
        found = self.model.get_text_features(input_ids=tokens["input_ids"].to(self.model.device))  # causal: padding is unseen
        return Texts(unit(found.pooler_output), truncated)


class HubSiglip:
    """A SigLIP of transformers' format. Images: squeezed to the model's square, mean and std .5; texts: 64 tokens."""

    def __init__(self, repo: str, *, reward: str, weights: str | None) -> None:
        from transformers import AutoTokenizer, SiglipModel

        folder = weight_folder(repo, reward=reward, given=weights, patterns=MODEL_FILES)
        self.model = frozen(load_model(SiglipModel, folder, reward))
        self.tokenizer = load_model(AutoTokenizer, folder, reward)
        self.limit = self.model.config.text_config.max_position_embeddings
        self.size = self.model.config.vision_config.image_size

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """B×3×H×W in [0, 1] → B×D of length 1."""
        self.model.to(images.device)
        pixels = normalise(resize(images, self.size, self.size), HALF, HALF)
        return unit(self.model.get_image_features(pixels).pooler_output)

    def embed_texts(self, texts: Sequence[str], device: torch.device) -> Texts:
        """Texts → embeddings on the images' device; each different text is encoded once."""
        self.model.to(device)
        return embed_each_once(self._embed_texts, texts)

    def _embed_texts(self, texts: Sequence[str]) -> Texts:
        tokens, truncated = tokenise(self.tokenizer, texts, self.limit)
        found = self.model.get_text_features(input_ids=tokens["input_ids"].to(self.model.device))
        return Texts(unit(found.pooler_output), truncated)


class OpenClip:
    """A model of open_clip, from a checkpoint file. Images are brought to its size in the way its training tag names.

    Args:
        model: a name open_clip knows, or the path of a model config (.json).
        checkpoint: a state dict file; `{"state_dict": …}` is unwrapped.
        reward: who asks, for messages.
        tag: the name of the training (`open_clip.list_pretrained()`), for preprocessing and activation; OpenAI's without.

    Raises:
        MissingWeightsError: no such model, or the file is no checkpoint of it.
    """

    def __init__(self, model: str, checkpoint: Path, *, reward: str, tag: str = "") -> None:
        import open_clip
        from open_clip.pretrained import get_pretrained_cfg

        if model.endswith(".json"):
            open_clip.add_model_config(model)
            model = Path(model).stem
        if model not in open_clip.list_models():
            raise MissingWeightsError(f"{reward}: model={model!r} is not known to open_clip; see open_clip.list_models()")
        training = get_pretrained_cfg(model, tag) if tag else {}
        preprocessing = {key: training[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in training}
        try:
            self.model = open_clip.create_model(
                model,
                pretrained=str(checkpoint),
                pretrained_text=False,
                force_quick_gelu=training.get("quick_gelu", False),
                force_preprocess_cfg=preprocessing,
            )
            self.tokenizer = open_clip.get_tokenizer(model)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise MissingWeightsError(f"{reward}: {checkpoint} is no checkpoint of {model} ({reason})") from error
        frozen(self.model)
        size = self.model.visual.image_size
        self.size = size if isinstance(size, int) else size[0]
        self.limit = self.model.context_length
        found = open_clip.get_model_preprocess_cfg(self.model)
        self.mean, self.std = tuple(found["mean"]), tuple(found["std"])
        self.interpolation, self.resize_mode = found["interpolation"], found["resize_mode"]

    def embed_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Images already at the model's size, in [0, 1] → B×D of length 1."""
        self.model.to(pixels.device)
        return unit(self.model.encode_image(normalise(pixels, self.mean, self.std)))

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """B×3×H×W in [0, 1] → B×D of length 1."""
        if self.resize_mode == "squash":
            return self.embed_pixels(resize(images, self.size, self.size, mode=self.interpolation))
        fit = resize_longest_and_pad if self.resize_mode == "longest" else resize_and_crop
        return self.embed_pixels(fit(images, self.size, mode=self.interpolation))

    def embed_texts(self, texts: Sequence[str], device: torch.device) -> Texts:
        """Texts → embeddings on the images' device; each different text is encoded once."""
        self.model.to(device)
        return embed_each_once(self._embed_texts, texts)

    def _embed_texts(self, texts: Sequence[str]) -> Texts:
        import torch

        device = next(self.model.parameters()).device
        tokens = self.tokenizer(list(texts)).to(device)
        longer = self.tokenizer([*texts, ""], context_length=4 * self.limit)
        padding = longer[-1, -1]  # 0 for CLIP's tokenizer, another number for others
        truncated = (longer[:-1, self.limit :] != padding).any(1).float()
        with torch.no_grad():
            return Texts(unit(self.model.encode_text(tokens)), truncated)


def read_state(file: Path) -> dict[str, torch.Tensor]:
    """The state dict in a .safetensors or a (never unpickled) torch file, out of its `state_dict` wrapping if it has one."""
    import torch
    from safetensors.torch import load_file

    if file.suffix == ".safetensors":
        return load_file(file)
    state = torch.load(file, map_location="cpu", weights_only=True)
    return state.get("state_dict", state)


def embed_each_once(embed, texts: Sequence[str]) -> Texts:  # noqa: ANN001 - a method above
    """`embed` on the different texts, spread back over all of them; texts get no gradient."""
    import torch

    names = list(dict.fromkeys(texts))
    rows = [names.index(text) for text in texts]
    with torch.no_grad():
        found = embed(names)
    return Texts(found.embeddings[rows], found.truncated[rows])


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Rows scaled to length 1."""
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-8)


def pixel_statistics(folder: Path, mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    """(mean, std) of a model folder's preprocessor_config.json, else the given ones."""
    path = folder / "preprocessor_config.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    return tuple(found.get("image_mean", mean)), tuple(found.get("image_std", std))


def load_model(kind, folder: Path, reward: str):  # noqa: ANN001, ANN201 - any class of transformers
    """`kind.from_pretrained(folder)`, every weight of a model found.

    Raises:
        MissingWeightsError: the folder does not hold such a model, or lacks some of its weights.
    """
    from transformers import PreTrainedModel

    try:
        if not (isinstance(kind, type) and issubclass(kind, PreTrainedModel)):
            return kind.from_pretrained(folder)
        model, report = kind.from_pretrained(folder, output_loading_info=True)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MissingWeightsError(f"{reward}: {folder} holds no usable {kind.__name__} ({reason})") from error
    if report["missing_keys"]:  # transformers would leave them random
        raise MissingWeightsError(f"{reward}: {folder} lacks weights of {kind.__name__}: {min(report['missing_keys'])}, …")
    return model
