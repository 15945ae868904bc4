"""Stage 2: two CLIP text encoders that read characters, with SDXL's roles.

The tokenizers have a vocabulary of characters and no merges, so spelling is visible. As CLIP's encoders come to SDXL
already knowing language, these two are taught to read first: each token's penultimate hidden state must know its
letter and its place in the quoted word, and the pooled embedding the colours and the word's length. The hidden states
are held near zero mean and unit variance: cross-attention over large, nearly equal vectors learns nothing for hours.
"""

from __future__ import annotations

import argparse
import random
import string
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from recipes.tiny_signs import data
from recipes.tiny_signs.loop import cosine, held_out_words
from reward_zoo.devices import quick

MAX_LENGTH = 48
HIDDEN = 128
CHARACTERS = string.ascii_lowercase + string.digits + "\"'.,-!?&:;()"


def build_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer whose every token is one character (lower-cased, as CLIP does)."""
    vocabulary: dict[str, int] = {}
    for character in CHARACTERS:
        vocabulary[character] = len(vocabulary)
        vocabulary[character + "</w>"] = len(vocabulary)
    vocabulary["<|startoftext|>"] = len(vocabulary)
    vocabulary["<|endoftext|>"] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=MAX_LENGTH)


def build_text_encoders(tokenizer: CLIPTokenizer) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """The plain encoder and the one with a pooled projection."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=4 * HIDDEN,
        projection_dim=HIDDEN,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config), CLIPTextModelWithProjection(config)


def tokenize(tokenizer: CLIPTokenizer, prompts: list[str]) -> torch.Tensor:
    """Token ids, B×48."""
    options = {"padding": "max_length", "max_length": MAX_LENGTH, "truncation": True, "return_tensors": "pt"}
    return tokenizer(prompts, **options).input_ids


def encode(encoders: tuple[nn.Module, nn.Module], tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What SDXL's UNet is given: penultimate hidden states of both (B×48×256), pooled projection (B×128)."""
    first, second = (encoder(tokens, output_hidden_states=True) for encoder in encoders)
    return torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1), second.text_embeds


def reading_targets(word: str, prompt: str) -> tuple[list[int], list[int]]:
    """Per token its place in the word (0 = outside) and its letter (26 = none)."""
    place, letters = [0] * MAX_LENGTH, [26] * MAX_LENGTH
    start = 1 + len(prompt[: prompt.index('"')].replace(" ", "")) + 1
    for index, char in enumerate(word):
        place[start + index] = index + 1
        letters[start + index] = data.ALPHABET.index(char)
    return place, letters


def unevenness(hidden: torch.Tensor) -> torch.Tensor:
    """How far B×T×C hidden states are from zero mean over tokens and unit variance."""
    return hidden.mean((0, 1)).pow(2).mean() + (hidden.var((0, 1)) - 1).pow(2).mean()


def train(work: Path, *, steps: int, batch_size: int, learning_rate: float) -> None:
    """Teach both encoders to read and save them with their tokenizers to `work/text`."""
    torch.manual_seed(0)
    rng = random.Random(2)
    held_out = held_out_words(work)
    words = [word for word in data.english_words() if word not in held_out]
    tokenizer = build_tokenizer()
    encoders = build_text_encoders(tokenizer)
    token_head = nn.Linear(2 * HIDDEN, 7 + 27)
    pooled_head = nn.Sequential(nn.Linear(HIDDEN, 256), nn.SiLU(), nn.Linear(256, 4 + 8 + 3))
    modules = nn.ModuleList([*encoders, token_head, pooled_head])
    optimizer = torch.optim.AdamW(modules.parameters(), lr=learning_rate)
    signs, letters = list(data.SIGN_COLORS), list(data.LETTER_COLORS)
    began = time.time()
    for step in range(steps):
        batch = []
        while len(batch) < batch_size:
            word = rng.choice(words) if rng.random() < 0.2 else data.random_word(rng)
            if word not in held_out:
                batch.append((word, *data.make_prompt(word, rng)))
        targets = [torch.tensor(x) for x in zip(*(reading_targets(w, p) for w, p, _, _ in batch), strict=True)]
        with quick(torch.device("cpu")):
            hidden, pooled = encode(encoders, tokenize(tokenizer, [row[1] for row in batch]))
        hidden, pooled = hidden.float(), pooled.float()
        place, letter = token_head(hidden).transpose(1, 2).split([7, 27], dim=1)
        length, sign, ink = pooled_head(pooled).split([4, 8, 3], dim=1)
        reading = F.cross_entropy(place, targets[0]) + F.cross_entropy(letter, targets[1])
        naming = F.cross_entropy(length, torch.tensor([len(row[0]) - 3 for row in batch]))
        naming = naming + F.cross_entropy(sign, torch.tensor([signs.index(row[2]) for row in batch]))
        naming = naming + F.cross_entropy(ink, torch.tensor([letters.index(row[3]) for row in batch]))
        uneven = unevenness(hidden)
        loss = reading + 0.3 * naming + 0.3 * uneven
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine(step, steps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            parts = f"reading {reading.item():.4f} naming {naming.item():.4f} uneven {uneven.item():.3f}"
            print(f"text {step}/{steps} {parts} {time.time() - began:.0f}s", flush=True)
    for index, encoder in enumerate(encoders):
        suffix = "" if index == 0 else "_2"
        encoder.save_pretrained(work / "text" / f"text_encoder{suffix}")
        tokenizer.save_pretrained(work / "text" / f"tokenizer{suffix}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / "work")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    options = parser.parse_args()
    train(options.work, steps=options.steps, batch_size=options.batch_size, learning_rate=options.learning_rate)
