"""The repository keeps its own rules: sizes, layers, light imports, true README."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ["reward_zoo", "surrogate", "finetune", "cli"]
SOURCES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]


def test_files_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert max(lengths.values()) <= 400, max(lengths, key=lengths.get)
    assert sum(length <= 300 for length in lengths.values()) >= 0.9 * len(lengths)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    layer = LAYERS.index(path.relative_to(ROOT).parts[0])
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            top = name.split(".")[0]
            assert top not in LAYERS or LAYERS.index(top) <= layer, f"{path.name} imports {name}"


@pytest.mark.parametrize("module", ["cli.app", "reward_zoo"])
def test_importing_is_light(module):
    heavy = ("torch", "diffusers", "transformers", "numpy", "PIL", "scipy", "pyarrow", "rich")
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"


def test_listing_rewards_loads_no_torch():
    code = "import sys, reward_zoo; reward_zoo.list_rewards(); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "False"


def test_the_first_command_of_the_readme_comes_early():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert next(number for number, line in enumerate(lines) if line.startswith("```")) < 30


def test_the_ci_runs_the_test_command_of_the_readme():
    commands = re.findall(r"^(uv run pytest.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands
    assert commands[0] in (ROOT / ".ci" / "run").read_text()


def test_the_docs_name_every_reward():
    import reward_zoo

    page = (ROOT / "docs" / "rewards.md").read_text()
    missing = [card.name for card in reward_zoo.list_rewards() if f"| `{card.name}` | {card.summary}" not in page]
    assert not missing


def test_no_file_of_ours_is_ignored():
    """What git ignores, the wheel leaves out, also where the file is tracked."""
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout == ""


def test_every_package_is_typed():
    assert [layer for layer in LAYERS if not (ROOT / layer / "py.typed").is_file()] == []


def test_the_citation_is_of_this_version():
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
