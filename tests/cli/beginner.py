"""The working folder in which docs/mistakes.md makes its mistakes."""

from pathlib import Path

from PIL import Image


def build_place(folder: Path) -> Path:
    """Prompts without quoted words, a reward of one's own, a config file with a typo, pictures, and a run that is there."""
    (folder / "prompts.txt").write_text("a cat\na dog\na tree house\n")
    (folder / "my_rewards.py").write_text("def left_dark(images):\n    return images.mean((1, 2, 3))\n")
    (folder / "ocr.yaml").write_text("reward: ocr\nstpes: 900\n")
    (folder / "runs" / "ocr").mkdir(parents=True)
    (folder / "runs" / "ocr" / "summary.json").write_text("{}")
    (folder / "pictures").mkdir()
    Image.new("RGB", (64, 64)).save(folder / "pictures" / "cat.png")
    return folder
