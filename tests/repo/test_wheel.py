"""What is released: a wheel and an sdist that hold what they must and nothing else, and a quickstart from the wheel alone."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("reward_zoo", "surrogate", "finetune", "cli")
pytestmark = pytest.mark.slow


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=900, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run("uv", "build", "--quiet", "--out-dir", folder, cwd=ROOT)
    return folder


def tracked():
    """What the four packages hold in the repository."""
    return set(run("git", "ls-files", "-z", *PACKAGES, cwd=ROOT).strip("\0").split("\0"))


def test_the_wheel_is_the_four_packages_and_their_data(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    facts = {name for name in names if ".dist-info/" in name}
    assert set(names) - facts == tracked()
    assert {"LICENSE", "NOTICE", "METADATA", "entry_points.txt"} <= {Path(name).name for name in facts}
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)


def test_the_sdist_is_enough_to_build_and_no_more(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    beside = {name for name in names if name.partition("/")[0] not in PACKAGES}
    assert names - beside == tracked()
    facts = {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md", "CITATION.cff", "PKG-INFO", ".gitignore"}
    assert beside == facts


def test_quickstart_from_the_wheel(built, tmp_path):
    """Installed by itself in an environment of its own, which borrows only what lasro depends on from this one."""
    home = tmp_path / "clean"
    run("uv", "venv", "--quiet", "--python", sys.executable, home)
    python = home / "bin" / "python"
    run("uv", "pip", "install", "--quiet", "--no-deps", "--python", python, next(built.glob("*.whl")))
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")  # comes after the environment's own
    places = run(python, "-c", f"import {', '.join(PACKAGES)}; print(cli.__file__, finetune.__file__)", cwd=tmp_path).split()
    assert all(Path(place).is_relative_to(home) for place in places)
    small = ("--samples", 450, "--steps", 20, "--eval-samples", 32)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    told = run(home / "bin" / "lasro", "quickstart", *small, "--json", cwd=tmp_path, env=environment)
    found = json.loads(told)
    assert found["reward_calls"] > 450
    assert (tmp_path / "runs" / "quickstart" / "adapter" / "pytorch_lora_weights.safetensors").is_file()
