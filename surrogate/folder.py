"""A surrogate on disk: model.safetensors, config.json, fidelity.json and a model card."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from reward_zoo.errors import first_line
from reward_zoo.weights import hub_folder
from surrogate.backbones.build import rebuild
from surrogate.backbones.tuning import add_lora, lora_rank_of
from surrogate.building import head_from
from surrogate.card import model_card
from surrogate.errors import LatentSpaceError, SurrogateFolderError
from surrogate.model import Part, Surrogate
from surrogate.store import LabelledStore
from surrogate.types import Generator, LatentSpace

FORMAT_VERSION = 4
FILES = ("config.json", "model.safetensors", "fidelity.json", "README.md")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class SavedSurrogate:
    """A surrogate with what its folder says about it: reward spec, generator, margin, fidelity, labels."""

    surrogate: Surrogate
    config: dict[str, Any]
    fidelity: dict[str, Any]
    folder: Path

    @classmethod
    def from_pretrained(cls, source: str | Path) -> SavedSurrogate:
        """`load_surrogate`."""
        return load_surrogate(source)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the surrogate as it is now into another folder, without the paths of its labels: they do not travel."""
        _write(Path(folder), self.surrogate, {**self.config, "labels": []}, self.fidelity)

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload it with its model card, creating the repository if need be; the commit's address."""
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Surrogate by lasro"))

    @property
    def labels(self) -> list[Path]:
        """The labelled stores it was trained on, those that still stand where they stood."""
        paths = [self.folder / path for path in self.config.get("labels", [])]
        return [path for path in paths if (path / "meta.json").exists()]


def save_surrogate(surrogate: Surrogate, folder: Path, *, fidelity: dict[str, Any], **facts: Any) -> None:  # noqa: ANN401
    """Write the folder; `facts` (reward, generator, margin, …) go into config.json."""
    backbone = surrogate.backbone
    config = {
        "format_version": FORMAT_VERSION,
        **facts,
        "backbone": {"kind": backbone.kind, **backbone.settings()},
        "heads": [head.settings() for head in surrogate.heads],
        "parts": [part.as_dict() for part in surrogate.parts],
        "offset": surrogate.offset,
        "alphas_cumprod": backbone.alphas_cumprod.tolist(),
        "latent_space": surrogate.latent_space.as_dict(),
        "score_time": surrogate.score_time,
        "pessimism": surrogate.pessimism,
        "tune": surrogate.tune,
        "lora_rank": lora_rank_of(surrogate),
    }
    _write(folder, surrogate, config, fidelity)


def _write(folder: Path, surrogate: Surrogate, config: dict[str, Any], fidelity: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in surrogate.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    save_fidelity(folder, config, fidelity)


def save_fidelity(folder: Path, config: dict[str, Any], fidelity: dict[str, Any]) -> None:
    """Note down what was measured, in fidelity.json and in the model card."""
    (folder / "fidelity.json").write_text(json.dumps(fidelity, indent=2))
    (folder / "README.md").write_text(model_card(config, fidelity))


def load_surrogate(source: str | Path) -> SavedSurrogate:
    """Load a surrogate folder, from this machine or by its hub id.

    Raises:
        SurrogateFolderError: a file is missing, damaged or of a newer format, or the hub does not have it.
    """
    folder = Path(source)
    if not folder.exists() and _HUB_ID.fullmatch(str(source)):
        folder = _download(str(source))
    for name in FILES[:3]:
        if not (folder / name).is_file():
            raise SurrogateFolderError(f"surrogate {folder}: {name} is missing; give RUN/surrogate of a lasro distill")
    try:
        config = json.loads((folder / "config.json").read_text())
        version = config["format_version"]
        if version != FORMAT_VERSION:
            remedy = "is newer than this lasro knows; upgrade lasro" if version > FORMAT_VERSION else "is old; distil it again"
            raise SurrogateFolderError(f"surrogate {folder}: format {version} {remedy}")
        surrogate = _rebuild(config)
        surrogate.load_state_dict(load_file(folder / "model.safetensors"))
        fidelity = json.loads((folder / "fidelity.json").read_text())
    except SurrogateFolderError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise SurrogateFolderError(
            f"surrogate {folder}: damaged ({type(error).__name__}: {reason}); distil it again"
        ) from error
    return SavedSurrogate(surrogate.eval(), config, fidelity, folder)


def _download(repo_id: str) -> Path:
    try:
        return hub_folder(repo_id, patterns=FILES)
    except Exception as error:
        reason = first_line(error)
        raise SurrogateFolderError(
            f"surrogate {repo_id}: no such folder, and the hub does not give it ({reason}); "
            "give the folder that lasro distill wrote, or a hub id"
        ) from error


def check_latent_space(surrogate: Surrogate, generator: Generator) -> None:
    """See that a generator's latents are what the surrogate reads.

    Raises:
        LatentSpaceError: they are not; the message names the difference.
    """
    _check(surrogate.latent_space, generator, "the surrogate reads", "use a surrogate distilled in this latent space")


def check_labels(store: LabelledStore, generator: Generator) -> None:
    """See that labelled latents are such as a generator makes.

    Raises:
        LatentSpaceError: they are not; the message names the difference.
    """
    mine = LatentSpace(**store.meta["latent_space"])
    _check(mine, generator, f"{store.folder} holds", "give the --generator they were labelled with, or one of its latent space")


def _check(mine: LatentSpace, generator: Generator, who: str, remedy: str) -> None:
    theirs = generator.latent_space
    if (mine.channels, mine.scaling_factor) != (theirs.channels, theirs.scaling_factor):
        raise LatentSpaceError(
            f"generator {generator.name} has {theirs.channels} latent channels scaled by {theirs.scaling_factor}, "
            f"{who} {mine.channels} scaled by {mine.scaling_factor}; {remedy}"
        )


def _rebuild(config: dict[str, Any]) -> Surrogate:
    settings = dict(config["backbone"])
    backbone = rebuild(settings.pop("kind"), settings, torch.tensor(config["alphas_cumprod"]))
    if config["tune"] == "lora":
        add_lora(backbone, config["lora_rank"])
    return Surrogate(
        backbone,
        [head_from(head, backbone.channels) for head in config["heads"]],
        parts=[Part(**part) for part in config["parts"]],
        offset=config["offset"],
        latent_space=LatentSpace(**config["latent_space"]),
        score_time=config["score_time"],
        pessimism=config["pessimism"],
        tune=config["tune"],
    )
