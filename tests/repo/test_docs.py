"""The pages: a strict build of the site, links that lead somewhere, messages that the code really says."""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for pattern in ("*.md", "docs/**/*.md", "recipes/**/*.md", "benchmarks/*.md", "examples/**/*.md")
    for path in sorted(ROOT.glob(pattern))
]
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def prose(page):
    return FENCE.sub("", page.read_text(encoding="utf-8"))


@cache
def anchors(page):
    """What GitHub and the site make of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_the_site_builds(tmp_path):
    """Strictly: a page not in the navigation, a link to nothing, a name that is no longer there, are errors."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    reference = (tmp_path / "site" / "reference" / "reward_zoo.html").read_text()
    assert "Raises" in reference  # docstrings are in it
    assert "reward_zoo.loading.load" in reference
    fetched = [url for page in (tmp_path / "site").rglob("*.html") for url in loaded(page.read_text())]
    assert fetched == []  # it is read without a network


def loaded(page):
    return re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"(https?:[^\"]+)\"", page)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    wrong = []
    for link in (first or second for first, second in LINK.findall(prose(page))):
        place, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / place).resolve() if place else page
        there = target.exists() and ROOT in (target, *target.parents)
        if not there or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


@cache
def said():
    """Every text in the code, f-strings with … for what is filled in."""
    texts = []
    for path in (file for room in ("reward_zoo", "surrogate", "finetune", "cli") for file in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_messages_in_when_it_fails_are_said():
    page = (ROOT / "docs" / "how-to" / "when-it-fails.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| ")]
    phrases = [phrase for cell in rows for phrase in re.findall(r"`([^`]+)`", cell) if " " in phrase]
    assert len(phrases) > 15
    assert [phrase for phrase in phrases if phrase not in said() and not phrase.startswith("lasro ")] == []
