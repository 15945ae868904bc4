"""Every shell block that follows `<!-- run -->` in README or docs is run, page by page, in order, in a folder of its own.

A block that follows `<!-- file: NAME -->` is put there as a file first. Sizes are made tiny, and generators of the hub are
replaced by the embedded one: what is tested is that commands, flags, paths and their order are right. What these commands
find at full size is measured elsewhere.
"""

import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from finetune.prompts import load_prompts

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^<!-- (?P<mark>run|file: (?P<name>\S+)) -->\n```\w*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {
    str(path.relative_to(ROOT)): list(FENCED.finditer(path.read_text(encoding="utf-8")))
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
MARKED = {page: blocks for page, blocks in BLOCKS.items() if any(block["mark"] == "run" for block in blocks)}
FAST = ("README.md", "docs/how-to/own-reward.md", "docs/rewards.md", "docs/gallery.md")  # the others are slow tests
SIZES = {  # a flag given twice counts as it was given last
    "quickstart": "--samples 64 --steps 2 --eval-samples 8",
    "label": "--samples 24",
    "distill": "--samples 24 --steps 2 --drift-steps 1",
    "finetune": "--steps 2 --batch-size 4 --eval-samples 4 --validation-samples 4",
    "evaluate": "--max-prompts 4 --noises 2 --gradient-samples 4",
}
STAND_INS = {
    "stabilityai/sdxl-turbo": "tiny-signs",
    "sdxl-turbo": "tiny-signs",
    "sdxl-lightning": "tiny-signs",
    "dmd2-1step": "tiny-signs",
    "aesthetic": "contrast",
}


def commands(block):
    """The commands of a block, in words; comments are left out, lines that end in a backslash joined."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def tiny(words):
    """The command at a size that takes a second."""
    command, given = words[0], [STAND_INS.get(word, word) for word in words]
    sizes = shlex.split(SIZES.get(command, ""))
    if "--data" in given:  # labels that are there have their size
        sizes = sizes[2:]
    return [*given, *sizes]


def furnish(folder):
    """What the pages take for granted: prompts, pictures, tables, a preset of one's own."""
    prompts = load_prompts("signs-train")
    (folder / "prompts.txt").write_text("\n".join(prompts[:12]))
    (folder / "held_out.txt").write_text("\n".join(prompts[12:16]))
    (folder / "pictures").mkdir()
    for number, word in enumerate(("OPEN", "SHUT", "EXIT")):
        picture = Image.new("RGB", (128, 32), (200, 40 + 60 * number, 50))
        ImageDraw.Draw(picture).text((8, 4), word, font_size=22)
        picture.save(folder / "pictures" / f"{word}.png")
    rows = [{"image": f"pictures/{word}.png", "prompt": f'a sign that says "{word}"'} for word in ("OPEN", "SHUT")]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "votes.csv").write_text("better,worse\npictures/EXIT.png,pictures/OPEN.png\n")
    signs = ROOT / "finetune" / "generators" / "tiny_signs"
    (folder / "mine.yaml").write_text(f"source: {signs / 'pipeline'}\nsampler: lcm\nbf16: true\n")
    (folder / "docs").symlink_to(ROOT / "docs")


@pytest.mark.parametrize("page", [page if page in FAST else pytest.param(page, marks=pytest.mark.slow) for page in MARKED])
def test_runnable_blocks_run(page, lasro, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cli.commands.quickstart.DISTILL_STEPS", 2)
    furnish(tmp_path)
    for block in MARKED[page]:
        if block["name"]:
            (tmp_path / block["name"]).write_text(block["body"])
    for block in (block for block in MARKED[page] if block["mark"] == "run"):
        for words in commands(block["body"]):
            assert words[0] == "lasro", f"{page}: {shlex.join(words)} is no command of lasro, and cannot be marked runnable"
            code, _, err = lasro(*tiny(words[1:]))
            assert code == 0, f"{page}: {shlex.join(words)}\n{err}"


def test_the_pages_a_newcomer_reads_are_run():
    assert set(FAST) <= set(MARKED)
    assert {"docs/getting-started.md", "docs/how-to/ocr-on-sdxl-turbo.md", "docs/methods/lasro.md"} <= set(MARKED)
