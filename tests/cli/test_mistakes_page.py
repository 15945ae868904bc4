"""docs/mistakes.md is what lasro says, word for word: every row is run."""

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.beginner import build_place

PAGE = (Path(__file__).parents[2] / "docs" / "mistakes.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in PAGE.splitlines() if line.startswith("| `lasro")]


def test_there_are_twenty():
    assert len(ROWS) == 20
    assert all(len(row) == 3 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_lasro_says_is_on_the_page_and_enough_to_go_on(lasro, tmp_path, monkeypatch, row):
    typed, said, instead = (cell.strip("`") for cell in row)
    monkeypatch.chdir(build_place(tmp_path))
    before = files(tmp_path)
    code, out, err = lasro(*shlex.split(typed)[1:])
    assert (code, out) == (2, "")
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [f"error: {said}"]
    assert files(tmp_path) == before
    new = set(re.findall(r"[\w-]+", instead)) - set(re.findall(r"[\w-]+", typed))
    assert any(word in said for word in new), "what to type instead stands nowhere in the message"


def files(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
