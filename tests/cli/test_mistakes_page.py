"""docs/mistakes.md is what lasro says, word for word: every row is run."""

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.beginner import build_place

PAGE = (Path(__file__).parents[2] / "docs" / "mistakes.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("| ").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| `lasro")
]


def test_there_are_twenty():
    assert len(ROWS) == 20
    assert all(len(row) == 3 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_lasro_says_is_on_the_page_and_enough_to_go_on(lasro, tmp_path, monkeypatch, row):
    typed, said, instead = row
    monkeypatch.chdir(build_place(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    code, out, err = lasro(*shlex.split(typed)[1:])
    assert (code, out) == (2, "")
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [f"error: {said}"]
    after = [path for path in sorted(tmp_path.rglob("*")) if not {"__pycache__", "runs"} & set(path.parts)]
    assert after == [path for path in before if "runs" not in path.parts]
    assert not (tmp_path / "runs" / "prompts").exists()
    new = set(re.findall(r"[\w.-]+", instead)) - set(re.findall(r"[\w.-]+", typed))
    assert any(word in said for word in new), "what to type instead stands nowhere in the message"
