"""The whole recipe in one resumable command: `python -m recipes.tiny_signs.build`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

STAGES = {  # module → what stands in the work folder when it is done
    "prompts": "test_words.txt",
    "vae": "vae/config.json",
    "text": "text/text_encoder_2/config.json",
    "unet": None,  # goes on from its own checkpoint; ends at once when all steps are done
    "pack": None,
}


def main() -> None:
    """Run the stages that are not done yet, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / "work")
    options = parser.parse_args()
    for stage, result in STAGES.items():
        if result and (options.work / result).exists():
            print(f"{stage}: done")
            continue
        command = [sys.executable, "-m", f"recipes.tiny_signs.{stage}", "--work", str(options.work)]
        subprocess.run(command, check=True)  # noqa: S603 - its own modules


if __name__ == "__main__":
    main()
