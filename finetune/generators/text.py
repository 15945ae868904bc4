"""What the text encoders say about prompts: said once, remembered in memory and, if wanted, in a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file

from finetune.errors import GeneratorError
from reward_zoo.errors import first_line

PARTS = ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2")
Encoded = tuple[torch.Tensor, torch.Tensor]  # hidden states B×T×D and pooled embeddings B×P


class PromptEncoder:
    """Hidden states and pooled embeddings of prompts, float32.

    Args:
        pipeline: whose text encoders speak; they may be missing.
        load: brings a pipeline that has them, where they are missing; asked only when a prompt is not known.
        folder: remembers prompts between runs, a file each; None: in memory alone.
        identity: of the text encoders; files of others are not read.
    """

    def __init__(
        self,
        pipeline: StableDiffusionXLPipeline,
        *,
        load: Callable[[], StableDiffusionXLPipeline] | None = None,
        folder: Path | None = None,
        identity: str = "",
    ) -> None:
        self.pipeline, self.folder, self.identity = pipeline, folder, identity
        self._load = load
        self._known: dict[str, Encoded] = {}  # on the CPU: a few hundred KB a prompt

    def one_by_one(self, prompts: Sequence[str]) -> Encoded:
        """Of B prompts, on the CPU; each is encoded once, and alone, so that its bits never depend on company.

        Raises:
            GeneratorError: a prompt that is not known, after `drop`; a file that cannot be read or written.
        """
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._known:
                self._known[prompt] = self._recall(prompt)
        hidden, pooled = zip(*(self._known[prompt] for prompt in prompts), strict=True)
        return torch.cat(hidden), torch.cat(pooled)

    @torch.no_grad()
    def together(self, prompts: Sequence[str]) -> Encoded:
        """Of B prompts, where the encoders are: encoded in one go, and kept nowhere."""
        self._bring(
            f"prompt {prompts[0]!r}: was not encoded before the text encoders were dropped; "
            "encode all prompts first, or load the generator without dropping them"
        )
        device = self.pipeline.text_encoder.device
        with torch.autocast(device.type, enabled=False):  # whatever the caller's precision is
            given = {"device": device, "do_classifier_free_guidance": False}
            hidden, _, pooled, _ = self.pipeline.encode_prompt(list(prompts), **given)
        return hidden.float(), pooled.float()

    def whole(self) -> None:
        """See that the pipeline has its text encoders.

        Raises:
            GeneratorError: they were dropped.
        """
        self._bring("the pipeline is not whole: its text encoders were dropped; load the generator without dropping them")

    @property
    def dropped(self) -> bool:
        """Whether the encoders are gone for good."""
        return self.pipeline.text_encoder is None and self._load is None

    def drop(self) -> None:
        """Free the text encoders' memory: from now on only known prompts are answered, and the empty one."""
        if not self.dropped:
            self.one_by_one([""])
        self.pipeline.text_encoder = self.pipeline.text_encoder_2 = self._load = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _recall(self, prompt: str) -> Encoded:
        file = self._file(prompt)
        if file is None or not file.is_file():
            hidden, pooled = (part.to("cpu") for part in self.together([prompt]))
            if file is not None:
                self._write(file, hidden, pooled)
            return hidden, pooled
        try:
            held = load_file(file)
            return held["hidden"].float(), held["pooled"].float()
        except Exception as error:
            raise GeneratorError(f"text cache {file}: cannot be read ({first_line(error)}); delete it") from error

    def _file(self, prompt: str) -> Path | None:
        key = hashlib.sha256(f"{self.identity}\0{prompt}".encode()).hexdigest()[:32]
        return self.folder / key[:2] / f"{key}.safetensors" if self.folder else None

    def _write(self, file: Path, hidden: torch.Tensor, pooled: torch.Tensor) -> None:
        """Whole or not at all, whoever else writes: in the encoders' own precision, which loses nothing."""
        dtype, draft = self.pipeline.text_encoder.dtype, file.with_suffix(f".{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file({"hidden": hidden.to(dtype).contiguous(), "pooled": pooled.to(dtype).contiguous()}, draft)
            draft.replace(file)
        except OSError as error:
            raise GeneratorError(f"text cache {self.folder}: cannot be written ({first_line(error)})") from error

    def _bring(self, cannot: str) -> None:
        """Load the encoders where they are missing; `cannot` is what is wrong if they cannot be."""
        if self.pipeline.text_encoder is not None:
            return
        if self._load is None:
            raise GeneratorError(cannot)
        held, device = self._load(), self.pipeline.unet.device
        names = ("text_encoder", "text_encoder_2")
        encoders = {name: getattr(held, name).to(device).requires_grad_(False).eval() for name in names}
        self.pipeline.register_modules(**encoders)  # or they are not written with it


def identity_of(folder: Path, dtype: torch.dtype) -> str:
    """A hash of all that text encoders' answers depend on: their files and tokenizers in a pipeline folder, and precision."""
    digest = hashlib.sha256(str(dtype).encode())
    for file in sorted(file for part in PARTS for file in (folder / part).glob("*") if file.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
