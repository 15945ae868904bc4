"""Is it the match of letters, or the reading, that keeps a reader from the reward's own ceiling?

    python -m benchmarks.reading --surrogate runs/ocr/surrogate --work runs/surrogates

On the test words' rollouts of benchmarks.surrogates: pairwise accuracy and Spearman correlation of the head's seven statistics
as trained and trained anew, of an edit distance of the letters' probabilities beside them and alone, and of the mean of several
looks (through noise, or at shifted latents). And, for texts read perfectly, how well statistics tell the score.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn

import reward_zoo
from benchmarks.surrogates import LABELS, labels, rollouts
from cli.output import print_table
from finetune.generators.pipeline import load_generator
from reward_zoo.prompts import quoted_text
from reward_zoo.text_match import normalize
from surrogate.fidelity import pairwise_accuracy
from surrogate.folder import load_surrogate
from surrogate.heads.columns import soft_ned
from surrogate.heads.slots import SlotReader
from surrogate.model import Surrogate

STEPS, RATE = 1500, 3e-3  # of the match trained anew


@torch.no_grad()
def look(surrogate: Surrogate, latents: torch.Tensor, *, time: int = 0, shift: int = 0, seed: int = 0) -> torch.Tensor:
    """Log-probabilities of letters, N×slots×classes, seen through noise or shifted by columns."""
    surrogate.eval()
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    found = []
    for part, fresh in zip(latents.float().roll(shift, -1).split(96), noise.split(96), strict=True):
        part, times = part.to(surrogate.device), torch.full((len(part),), time, device=surrogate.device)
        found.append(surrogate.looks(surrogate.backbone(part, None, times, fresh.to(part)))[0].float().cpu())
    return torch.cat(found)


def soft_edit_score(head: SlotReader, looks: torch.Tensor, wanted: Sequence[str]) -> torch.Tensor:
    """1 − expected edit distance / longer length, (N,); a slot's letter is a new one, whatever stands before it."""
    codes, lengths = head.cut(wanted, looks.device)
    return soft_ned(looks.exp()[..., : head.none], codes, lengths.clamp_min(1))


@torch.no_grad()
def statistics(head: SlotReader, looks: torch.Tensor, wanted: Sequence[str]) -> torch.Tensor:
    """The head's own seven, and the soft edit score, N×8."""
    seen: list[torch.Tensor] = []
    hook = head.match.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    head.judge(looks, wanted)
    hook.remove()
    return torch.cat([seen[0], soft_edit_score(head, looks, wanted)[:, None]], dim=1)


def fitted(known: torch.Tensor, scores: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """Scores of `asked` by a small network trained on `known` statistics."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(known.shape[1], 32), nn.SiLU(), nn.Linear(32, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    mean, spread = known.mean(0), known.std(0) + 1e-6
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        rows = torch.randint(0, len(known), (2048,))
        loss = (network((known[rows] - mean) / spread)[:, 0] - scores[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return network((asked - mean) / spread)[:, 0]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surrogate", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/surrogates"))
    parser.add_argument("--samples", type=int, default=20_160, help="labels that the match is trained on")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    generator, reward = load_generator("tiny-signs", "cpu"), reward_zoo.load("ocr")
    surrogate = load_surrogate(given.surrogate).surrogate.eval()
    if not isinstance(surrogate.heads[0], SlotReader):
        raise SystemExit(f"--surrogate {given.surrogate}: does not read by slots; distil one with --reader slots")
    head, data = surrogate.heads[0], labels(given.work, generator, reward, given.samples, LABELS).load()
    test, _ = rollouts(given.work, "test", generator, reward)
    wanted, asked = ([quoted_text(prompt) or "" for prompt in prompts] for prompts in (data.row_prompts(), test.prompts))
    truth, scores = np.asarray(test.scores), data.scores.float()
    known = statistics(head, look(surrogate, data.latents), wanted)
    looks = look(surrogate, test.latents)
    seen = statistics(head, looks, asked)

    def judged(*several: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return torch.stack([head.judge(one, asked) for one in several]).mean(0)

    through = {t: [look(surrogate, test.latents, time=t, seed=seed) for seed in range(4)] for t in (20, 50, 100)}
    ways = {
        "as trained": judged(looks),
        "seven statistics, trained anew": fitted(known[:, :7], scores, seen[:, :7]),
        "and the soft edit distance": fitted(known, scores, seen),
        "the soft edit distance alone": seen[:, 7],
        **{f"four looks through noise {time}": judged(*several) for time, several in through.items()},
        "looks shifted by -1, 0, 1": judged(*(look(surrogate, test.latents, shift=columns) for columns in (-1, 0, 1))),
    }
    rows = [
        (name, f"{pairwise_accuracy(found.numpy(), truth, test.groups, 0.2):.3f}", f"{spearmanr(found, truth).statistic:.3f}")
        for name, found in ways.items()
    ]
    print_table(("scores by", "accuracy", "Spearman"), rows)
    heard = head.encode([normalize(text or "") for text in data.perceived])
    perfect = torch.full((*heard.shape, len(head.alphabet) + 2), -9.0).scatter_(2, heard[..., None], -1e-3)
    known, half = statistics(head, perfect, wanted), len(heard) // 2
    errors = [(fitted(known[:half, :n], scores[:half], known[half:, :n]) - scores[half:]).square().mean() for n in (7, 8)]
    print_table(("perfectly read, squared error by", ""), [("seven", f"{errors[0]:.5f}"), ("eight", f"{errors[1]:.5f}")])


if __name__ == "__main__":
    main()
