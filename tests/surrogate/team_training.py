"""Train a small surrogate in all processes launched: python -m tests.surrogate.team_training PIPELINE OUT SETTINGS KIND."""

import json
import sys
from pathlib import Path
from unittest.mock import patch

import torch

from surrogate.config import DistillConfig
from surrogate.distillation import train_surrogate
from surrogate.folder import save_surrogate
from surrogate.hindsight import Hindsight
from surrogate.sampling import LabelledLatents
from surrogate.seeding import stream
from surrogate.team import Team
from tests.tiny.surrogate import FIDELITY

SIZES = {"steps": 4, "prompts_per_batch": 3, "rows_per_prompt": 3, "max_time": 50}
WORDS = ["OPEN", "EXIT", "STOP", "CAFE", "TAXI", "BANK"]
PROMPTS = [f'a sign that says "{word}"' for word in WORDS]


def labels():
    """Six prompts' worth of noise with made-up scores and readings: (training, held-out)."""
    rng = stream(0, "team")
    latents, scores = torch.randn(30, 4, 16, 16, generator=rng), torch.rand(30, generator=rng)
    groups = torch.arange(6).repeat(5)
    perceived = [WORDS[(row * 7) % 6][: 2 + row % 3] for row in range(30)]
    data = LabelledLatents(latents, scores, 1 + torch.arange(30) % 2, groups, PROMPTS, perceived)
    return data.rows(groups < 5), data.rows(groups == 5)


def other_prompt(prompt, perceived, rng, *, others):
    """Hindsight as a reward gives it: another prompt, and the score there."""
    word = rng.choice(WORDS)
    return f'a sign that says "{word}"', len(set(word) & set(perceived)) / 4


def save(generator, out, settings, team):
    """Train four steps, without dropout, whose masks are a process's own, and write the surrogate with its losses."""
    config = DistillConfig(**SIZES, **settings)
    losses = []
    with patch.object(torch.nn.Dropout, "forward", lambda self, x: x):
        distilled = train_surrogate(
            generator,
            *labels(),
            config,
            margin=0.2,
            hindsight=Hindsight(other_prompt, 0.5),
            report=lambda record: losses.append(record["loss"]),
            team=team,
        )
    if team.leads:
        facts = {"reward": "ocr", "generator": "tiny", "margin": 0.2, "labels": []}
        save_surrogate(distilled.surrogate, out, fidelity={**FIDELITY, "losses": losses, "processes": team.count}, **facts)


if __name__ == "__main__":
    from finetune.generators.pipeline import load_generator

    pipeline, out, settings, shard = sys.argv[1:]
    save(load_generator(pipeline, "cpu"), Path(out), json.loads(settings), Team.gather(sharded=shard == "shard"))
