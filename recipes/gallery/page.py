"""`docs/gallery.md`, from the entries and the scores that were measured."""

from __future__ import annotations

import json
from pathlib import Path

import reward_zoo
from recipes.gallery.entries import GROUPS, Entry

DOCS = Path(__file__).parents[2] / "docs"
PICTURES = DOCS / "images" / "gallery"
SCORES = PICTURES / "scores.json"
Measured = dict[str, dict[str, float]]

HEAD = """# Gallery

What scores high with each reward, and what scores low. The pictures are drawn by code or painted by the embedded generator, and
the scores under them are measured on exactly these files:

<!-- run -->
```bash
lasro rewards score docs/images/gallery/sharpness-high.webp --reward sharpness
```

Where there are words alone, the reward's weights were not on the machine that made this page, or pictures cannot show it.
Written by `python -m recipes.gallery`, which measures whatever runs where it is called and keeps the other scores. All rewards
with their needs and sizes: [Rewards](rewards.md).
"""


def read_scores() -> Measured:
    """What has been measured so far: spec → {"high": …, "low": …}."""
    return json.loads(SCORES.read_text()) if SCORES.is_file() else {}


def render(scores: Measured) -> str:
    """The page: a table a group, a row an entry."""
    parts = [HEAD]
    for title, entries in GROUPS.items():
        rows = ["| reward | scores high | scores low |", "|---|---|---|", *(_row(entry, scores) for entry in entries)]
        parts.append(f"\n## {title}\n\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def _row(entry: Entry, scores: Measured) -> str:
    spec = f"<br>`{entry.spec}`" if entry.spec not in ("", entry.name) else ""
    asked = "".join(f"<br>{name}: {text}" for name, text in (("prompt", entry.prompt), ("target", entry.target)) if text)
    found = scores.get(entry.reward, {})
    cells = [f"`{entry.name}`{spec}{asked if found else ''}"]
    for side, words in (("high", entry.high), ("low", entry.low)):
        picture = f"![{words}](images/gallery/{entry.slug}-{side}.webp)<br>**{found[side]:.4g}**<br>" if side in found else ""
        cells.append(picture + words)
    return f"| {' | '.join(cells)} |"


def forgotten() -> list[str]:
    """Registered rewards without an entry."""
    known = {entry.name for entries in GROUPS.values() for entry in entries}
    return [card.name for card in reward_zoo.list_rewards() if card.name not in known]
