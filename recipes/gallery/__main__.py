"""`python -m recipes.gallery`: draw, score, and write docs/gallery.md with its pictures."""

from __future__ import annotations

import argparse
import json

from recipes.gallery.entries import ENTRIES
from recipes.gallery.measuring import CannotMeasure, WrongOrder, measure
from recipes.gallery.page import DOCS, PICTURES, SCORES, forgotten, read_scores, render


def main() -> None:
    """Measure what runs here, keep what was measured elsewhere, render."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="Rewards to measure; without names none, the page alone is written.")
    wanted = parser.parse_args().only
    PICTURES.mkdir(parents=True, exist_ok=True)
    scores, wrong = read_scores(), []
    for entry in ENTRIES:
        if wanted is not None and entry.name not in wanted:
            continue
        try:
            scores[entry.reward] = measure(entry, PICTURES)
            print(entry.reward, *(f"{side} {value:.4g}" for side, value in scores[entry.reward].items()))
        except CannotMeasure as reason:
            print(entry.reward, "not measured:", reason)
        except WrongOrder as found:
            wrong.append(f"{entry.reward}: {found}")
            scores.pop(entry.reward, None)
    SCORES.write_text(json.dumps(scores, indent=1, sort_keys=True) + "\n")
    (DOCS / "gallery.md").write_text(render(scores), encoding="utf-8")
    if forgotten() or wrong:
        raise SystemExit(f"mend recipes/gallery/entries.py: {'; '.join([*forgotten(), *wrong])}")


if __name__ == "__main__":
    main()
