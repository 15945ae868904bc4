"""The gallery: an entry for every reward, scores that are those of its pictures, a page that is up to date."""

from pathlib import Path

import pytest

import reward_zoo
from recipes.gallery.entries import ENTRIES, GROUPS
from recipes.gallery.measuring import SIDES, file_of, measure, score
from recipes.gallery.page import PICTURES, forgotten, read_scores, render

MEASURED = read_scores()
DRAWN = [title for title in GROUPS if title in ("Light and colour", "Structure", "File size")]
FAST = [entry for title in DRAWN for entry in GROUPS[title]]


def test_every_reward_has_an_entry():
    assert forgotten() == []
    page = (Path(__file__).parents[2] / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert [card.name for card in reward_zoo.list_rewards() if f"| `{card.name}`" not in page] == []


def test_the_page_is_what_the_recipe_writes():
    page = (Path(__file__).parents[2] / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert page == render(MEASURED), "python -m recipes.gallery --only writes it anew"


def test_pictures_and_scores_go_together():
    wanted = {file_of(entry, side, PICTURES).name for entry in ENTRIES for side in MEASURED.get(entry.reward, {})}
    assert {path.name for path in PICTURES.glob("*.webp")} == wanted
    assert set(MEASURED) <= {entry.reward for entry in ENTRIES}
    pairs = [found for found in MEASURED.values() if len(found) == 2]
    assert len(pairs) >= 20
    assert all(found["high"] > found["low"] for found in pairs)


@pytest.mark.parametrize("entry", FAST, ids=lambda entry: entry.name)
def test_scores_are_those_of_the_pictures(entry):
    reward = reward_zoo.load(entry.reward)
    for side in SIDES:
        assert score(entry, reward, file_of(entry, side, PICTURES)) == pytest.approx(
            MEASURED[entry.reward][side], rel=0.02, abs=1e-4
        )


def test_drawing_again_gives_the_same(tmp_path):
    entry = next(entry for entry in ENTRIES if entry.name == "sharpness")
    assert measure(entry, tmp_path)["high"] == pytest.approx(MEASURED["sharpness"]["high"], rel=0.02)
