"""One order of precedence: defaults < config file < --set < flags; what a run wrote can be given back."""

import os
import re
import subprocess
import sys

import pytest
import typer
import yaml

from cli.app import app


@pytest.fixture
def write(tmp_path):
    """A config file with some text."""

    def save(text, name="config.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return save


def shown(lasro, *arguments):
    """The settled values and their origins."""
    code, found, err = lasro("config", "show", *arguments, "--json")
    assert code == 0, err
    return {name: (part["value"], part["from"]) for name, part in found.items()}


@pytest.mark.parametrize("order", [0, 1])
def test_flags_beat_set_beats_the_file_beats_defaults(lasro, write, order):
    file = write("steps: 1\nnoises: 2\nsamples: 3\nloss: [listwise]\nlearning-rate: 1e-5\nbf16: false\n")
    parts = [["--config", file], ["--set", "steps=10", "--set", "noises=20"]]
    found = shown(lasro, "distill", *parts[order], *parts[1 - order], "--steps", 100)
    assert found["steps"] == (100, "flag")
    assert found["noises"] == (20, "--set")
    assert found["samples"] == (3, f"--config {file}")
    assert found["losses"] == (["listwise"], f"--config {file}")
    assert found["learning_rate"] == (1e-5, f"--config {file}")
    assert found["bf16"] == (False, f"--config {file}")
    assert found["backbone"] == ("auto", "default")


def test_settings_of_a_method_stand_in_the_file_and_set_beats_them(lasro, write):
    file = write("method: ddpo\nguard: ocr\nmethod_settings: {clip_range: 0.1, updates: 3, threshold: null}\n")
    found = shown(lasro, "finetune", "--config", file, "--set", "clip_range=0.2", "--set", "ema_decay=0.5")
    assert found["method"] == ("ddpo", f"--config {file}")
    assert found["guards"] == (["ocr"], f"--config {file}")
    assert found["ema_decay"] == (0.5, "--set")
    assert found["method_settings"][0] == {"clip_range": "0.2", "updates": "3"}


@pytest.mark.parametrize("command", ["label", "distill", "finetune"])
def test_what_config_show_prints_is_a_config_file(lasro, write, command):
    code, text, err = lasro("config", "show", command, "--seed", 7, "--reward", "ocr")
    assert code == 0, err
    again = shown(lasro, command, "--config", write(text))
    assert again["seed"][0] == 7
    first = shown(lasro, command, "--seed", 7, "--reward", "ocr")
    assert {name: value for name, (value, _) in again.items()} == {name: value for name, (value, _) in first.items()}


def test_a_run_can_be_given_back(lasro, tmp_path, tiny_sdxl):
    (tmp_path / "prompts.txt").write_text("a cat\na dog\n")
    given = ["--generator", tiny_sdxl, "--reward", "brightness", "--prompts", tmp_path / "prompts.txt", "--samples", 8]
    code, _, err = lasro("label", *given, "--noises", 2, "--seed", 5, "--out", tmp_path / "first")
    assert code == 0, err
    code, _, err = lasro("label", "--config", tmp_path / "first" / "config.yaml", "--out", tmp_path / "again")
    assert code == 0, err
    read = [yaml.safe_load((tmp_path / run / "config.yaml").read_text()) for run in ("first", "again")]
    assert read[0] == read[1]
    assert read[0]["seed"] == 5
    assert read[0]["extra_steps"] == 0  # settled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stpes: 3", "lasro distill has no setting 'stpes'; did you mean 'steps'?"),
        ("steps: many", "valid integer"),
        ("steps: 1.5", "valid integer"),
        ("- steps", "must be a mapping"),
        ("steps: [", "cannot be read as YAML"),
        ("method_settings: {beta: 1}", "lasro distill has none"),
    ],
)
def test_wrong_files_are_named(lasro, write, text, message):
    file = write(text)
    code, out, err = lasro("distill", "--config", file)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: --config {file}: ")
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["distill", "--set", "nosies=3"],
            "error: --set nosies=3: lasro distill has no setting 'nosies'; did you mean 'noises'?",
        ),
        (["distill", "--set", "noises"], "error: --set noises: write NAME=VALUE"),
        (["distill", "--set", "noises=x"], "error: --set noises=x: noises: "),
        (["distill", "--config", "nowhere.yaml"], "error: --config nowhere.yaml: cannot be read"),
        (["config", "show", "distil"], "did you mean 'distill'?"),
        (["config", "show", "distill", "--stpes", "3"], "did you mean '--steps'?"),
    ],
)
def test_wrong_settings_are_named(lasro, arguments, message):
    code, out, err = lasro(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def commands(group, path=()):
    """Every command with its words."""
    for name, command in group.commands.items():
        found = (*path, name)
        yield from commands(command, found) if hasattr(command, "commands") else [(found, command)]


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_an_example_that_is_the_commands_own(lasro, words):
    code, text, _ = lasro(*words, "--help")
    assert code == 0
    (line,) = [line.strip() for line in text.splitlines() if line.startswith("  Example: ")]
    assert line.startswith(f"Example: lasro {' '.join(words)}")
    shown = [*COMMANDS[words].params, *(COMMANDS[("distill",)].params if words == ("config", "show") else ())]
    known = {flag for parameter in shown for flag in (*parameter.opts, *parameter.secondary_opts)}
    assert set(re.findall(r" (--[a-z-]+)", line)) <= known


@pytest.mark.parametrize(
    ("shell", "words", "found"),
    [
        ("bash", "lasro dist", "distill"),
        ("bash", "lasro distill --backbone-d", "--backbone-depth"),
        ("bash", "lasro distill --reward aesth", "aesthetic"),
        ("zsh", "lasro distill --reward aesth", "aesthetic"),
        ("fish", "lasro label --generator sdxl-t", "sdxl-turbo"),
    ],
)
def test_the_shell_completes(shell, words, found):
    code = "import sys; from cli.app import main; sys.argv[0] = 'lasro'; sys.exit(main())"
    asked = {"_LASRO_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    asked |= {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert found in re.findall(r"[\w-]+", done.stdout)
