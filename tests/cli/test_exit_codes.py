"""Exit codes as docs/cli.md has them, and Ctrl-C on every long command."""

import re
from pathlib import Path

import pytest

from finetune.generators.pipeline import load_generator
from tests.tiny.surrogate import build_folder

STOP = "def stop(images):\n    raise KeyboardInterrupt\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_sdxl):
    """Prompts, a reward that is interrupted by its person, and a surrogate of it."""
    folder = tmp_path_factory.mktemp("codes")
    (folder / "own.py").write_text(STOP)
    (folder / "prompts.txt").write_text("\n".join(f"a picture of {number}" for number in range(8)))
    build_folder(folder / "surrogate", load_generator(str(tiny_sdxl)), reward=f"{folder}/own.py:stop", name=str(tiny_sdxl))
    return folder


PROMPTS = ["--prompts", "{place}/prompts.txt"]
LONG = {
    "label": ["--generator", "{tiny}", "--reward", "{place}/own.py:stop", *PROMPTS, "--out", "{place}/run"],
    "distill": ["--generator", "{tiny}", "--reward", "{place}/own.py:stop", *PROMPTS, "--out", "{place}/run"],
    "finetune": ["--surrogate", "{place}/surrogate", *PROMPTS, "--eval-prompts", "{place}/prompts.txt", "--out", "{place}/run"],
    "evaluate": ["--surrogate", "{place}/surrogate", *PROMPTS],
    "quickstart": ["--out", "{place}/run"],
    "bench": ["signs", "--reward", "{place}/own.py:stop", "--out", "{place}/run"],
}
KEPT = {"evaluate": "nothing was written", "bench": "run the same command again to go on"}


@pytest.mark.parametrize("command", LONG)
def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(lasro, place, tiny_sdxl, monkeypatch, command):
    if command == "quickstart":  # whose reward is ocr

        def stop(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr("surrogate.jobs.run_label", stop)
    code, out, err = lasro(command, *[part.format(place=place, tiny=tiny_sdxl) for part in LONG[command]])
    assert (code, out) == (130, "")
    assert err.splitlines()[-1].startswith(f"interrupted; {KEPT.get(command, 'run the same command with --resume')}")
    assert "Traceback" not in err


def test_the_docs_list_the_codes():
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    codes = {int(code): text for code, text in re.findall(r"^\| (\d+) \| (.+) \|$", page, re.MULTILINE)}
    assert set(codes) == {0, 1, 2, 130, 143}


def test_the_codes_are_so(lasro, tmp_path, monkeypatch):
    (tmp_path / "bad.py").write_text("def nothing(images):\n    return 3\n")
    assert lasro("rewards", "info", "ocr")[0] == 0
    assert lasro("rewards", "check", f"{tmp_path}/bad.py:nothing")[0] == 1
    assert lasro("rewards", "info", "orc")[0] == 2
    assert lasro("rewards", "inof")[0] == 2
