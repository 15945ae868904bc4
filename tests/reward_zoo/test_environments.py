"""Environments of rewards' own: what a file asks for, built once, never half; with a uv that needs no network."""

import importlib.util
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import reward_zoo
from reward_zoo.errors import BuildError, SpecError
from reward_zoo.isolation.environment import Environment
from reward_zoo.isolation.script import environment_of_file
from reward_zoo.readiness import readiness
from reward_zoo.registry import card_of
from tests.tiny import uv
from tests.tiny.processes import ROOT
from tests.tiny.serving import until

ASKED = Environment(("tiny-dependency==1.2",))
OWN = '''
# /// script
# requires-python = ">=3.10"
# dependencies = ["tiny-dependency==1.2"]
# ///
import tiny_dependency

def versioned(images):
    """The version of what it needs, as a number."""
    return images.mean((1, 2, 3)) * 0 + float(tiny_dependency.__version__)
'''


@pytest.fixture
def fake_uv(tmp_path, monkeypatch):
    """How it was called, a line each."""
    monkeypatch.setitem(sys.modules, "uv", None)  # the package, if it is installed
    calls = uv.install(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return calls


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return f"{tmp_path / 'own.py'}:versioned"


def test_a_file_runs_with_the_packages_it_asks_for(fake_uv, own, images, capfd):
    assert importlib.util.find_spec("tiny_dependency") is None
    with pytest.raises(
        SpecError, match=r"No module named 'tiny_dependency'; it names packages of its own: write isolated:.*own\.py:NAME"
    ):
        reward_zoo.load(own)
    reward = reward_zoo.load(f"isolated:{own}")
    assert reward(images=images).values.tolist() == pytest.approx([1.2] * 4)
    assert (reward.card.requirements, reward.card.python) == (("tiny-dependency==1.2",), ">=3.10")
    environment = Environment(reward.card.requirements, reward.card.python)
    assert environment.executable.is_file()
    assert "tiny-dependency==1.2\n" in (environment.folder / "requirements.txt").read_text()
    said = capfd.readouterr().err
    assert "installing tiny-dependency==1.2 into" in said
    assert "Resolved 3 packages" in said
    assert fake_uv.read_text().splitlines() == ["venv --relocatable", "pip install"]
    reward_zoo.load(f"isolated:{own}")
    assert len(fake_uv.read_text().splitlines()) == 2


BUILD = """
import sys
sys.modules["uv"] = None  # the package, if it is installed
from reward_zoo.isolation.environment import Environment
print(Environment(("tiny-dependency==1.2",)).build("it"))
"""


def build_in_a_process(**variables):
    environment = {**os.environ, **variables}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", BUILD], cwd=ROOT, env=environment, **pipes, start_new_session=True)


def test_of_several_processes_one_builds(fake_uv):
    found = [process.communicate(timeout=30) for process in [build_in_a_process() for _ in range(3)]]
    assert {out.strip() for out, _ in found} == {str(ASKED.executable)}, found
    assert len(fake_uv.read_text().splitlines()) == 2


def test_what_was_not_finished_is_never_used(fake_uv):
    process = build_in_a_process(FAKE_UV="hangs")
    until(lambda: "pip install" in fake_uv.read_text())
    os.killpg(process.pid, 9)
    process.communicate(timeout=10)
    assert not ASKED.is_built
    assert ASKED.build("it").is_file()
    assert not Path(f"{ASKED.folder}.partial").exists()


def test_a_python_that_is_gone_is_replaced(fake_uv):
    python = ASKED.build("it")
    python.unlink()
    python.symlink_to("/no/such/python")
    assert not ASKED.is_built
    assert ASKED.build("it").is_file()


def test_a_build_that_fails_says_why_and_where_the_log_is(fake_uv, monkeypatch):
    monkeypatch.setenv("FAKE_UV", "fails")
    with pytest.raises(
        BuildError, match=r"it: its own environment cannot be built: uv pip: .*Caused by: dns error \(whole log: "
    ) as caught:
        ASKED.build("it")
    log = Path(str(caught.value).partition("whole log: ")[2].removesuffix(")"))
    assert "error: Failed to fetch" in log.read_text()
    assert not ASKED.is_built
    monkeypatch.delenv("FAKE_UV")
    assert ASKED.build("it").is_file()


def test_a_missing_uv_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        BuildError, match="it: needs an environment of its own, and uv, which builds it, is missing; pip install uv"
    ):
        ASKED.build("it")
    found = readiness(card_of("image_reward_original"))
    assert "image-reward==1.5" in found.remedies[0]
    assert "pip install uv; lasro rewards prepare image_reward_original" in found.remedies[0]


def test_a_folder_that_cannot_be_written_is_named(fake_uv, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LASRO_CACHE", str(tmp_path / "file"))
    with pytest.raises(BuildError, match="it: its own environment cannot be kept in "):
        ASKED.build("it")


def test_each_set_of_requirements_has_its_own():
    others = [("tiny-dependency==1.3",), ("tiny-dependency==1.2", "more"), ()]
    folders = [Environment(requirements).folder for requirements in [ASKED.requirements, *others]]
    folders += [Environment(ASKED.requirements, python).folder for python in ("3.12", "3.13")]
    assert len(set(folders)) == len(folders)
    assert Environment(("b", "a")).folder == Environment(("a", "b")).folder
    assert Environment().executable == Path(sys.executable)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# /// script\n# dependencies = [\n# ///\n", "block is no TOML"),
        ('# /// script\n# dependencies = "numpy"\n# ///\n', "dependencies = 'numpy' is no list of texts"),
        ("# /// script\n# requires-python = 3.11\n# ///\n", r"requires-python = 3\.11 is no text"),
        ("# /// script\n# a = 1\n# ///\n\n# /// script\n# a = 1\n# ///\n", "has 2 blocks"),
    ],
)
def test_a_block_that_says_nothing_sensible_is_named(tmp_path, text, message):
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(SpecError, match=f"own.py: .*{message}"):
        environment_of_file(tmp_path / "own.py")


def test_a_file_without_a_block_takes_this_environment(tmp_path):
    (tmp_path / "own.py").write_text("# /// pyproject\n# a = 1\n# ///\ndef dark(images): ...\n")
    assert not environment_of_file(tmp_path / "own.py").separate


def test_a_card_that_asks_for_one_is_enough(fake_uv, tmp_path, images):
    body = OWN.partition("def ")[0].replace("import tiny_dependency", "from reward_zoo import Reward, RewardCard")
    (tmp_path / "card.py").write_text(
        body.replace("///", "//")
        + """
class Versioned(Reward):
    card = RewardCard(name="versioned", summary="s", range=(0, 9), typical=(1, 1), source="s", license="l",
                      requirements=("tiny-dependency==1.3",))

    def score(self, inputs):
        import tiny_dependency
        return [float(tiny_dependency.__version__)] * len(inputs.images)
"""
    )
    reward = reward_zoo.load(f"{tmp_path / 'card.py'}:Versioned")
    assert torch.allclose(reward(images=images).values, torch.full((4,), 1.3))


def test_the_command_line_shows_and_builds_them(fake_uv, own, lasro):
    _, cards, _ = lasro("rewards", "info", "image_reward_original", "--json")
    assert (cards["python"], cards["requirements"][0]) == ("3.11", "image-reward==1.5")
    _, text, _ = lasro("rewards", "list")
    assert next(line for line in text.splitlines() if line.startswith("image_reward_original")).count("prompt, own environment")
    _, found, _ = lasro("doctor", "--json")
    states = {row["name"]: row["state"] for row in found}
    assert states["image_reward_original"] == "missing environment"
    code, rows, _ = lasro("rewards", "prepare", f"isolated:{own}", "image_reward_original", "ocr", "--json")
    assert code == 0
    assert [Path(row["environment"] or "").is_absolute() for row in rows] == [True, True, False]
    _, found, _ = lasro("doctor", "--json")
    assert {row["name"]: row["state"] for row in found}["image_reward_original"] == "missing weights"


REAL = '''
# /// script
# dependencies = ["emoji==2.14.1", "rapidfuzz==3.13.0"]
# ///
import emoji
import rapidfuzz

def versions(images):
    """Of a package that is not here, and of one that is here in another version."""
    return images.mean((1, 2, 3)) * 0 + float(f"{emoji.__version__.split('.')[1]}.{rapidfuzz.__version__.split('.')[1]}")
'''


@pytest.mark.slow
def test_a_real_environment_has_what_the_file_asks_for(tmp_path, images):
    """By the real uv, over the network."""
    (tmp_path / "own.py").write_text(REAL)
    assert importlib.util.find_spec("emoji") is None
    assert version("rapidfuzz") != "3.13.0"
    reward = reward_zoo.load(f"isolated:{tmp_path / 'own.py'}:versions")
    assert reward(images=images).values.tolist() == pytest.approx([14.13] * 4)


@pytest.mark.slow
def test_a_package_that_does_not_exist_is_uvs_own_words(tmp_path):
    with pytest.raises(BuildError, match=r"uv pip: .*no-such-package-of-lasro.*whole log: "):
        Environment(("no-such-package-of-lasro==1",)).build("it")
