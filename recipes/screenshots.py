"""The pictures of docs/: a run's report on a desk and on a phone, the same run watched, and two commands in a terminal.

    python -m recipes.screenshots runs/quickstart
    python -m recipes.screenshots --terminal

Needs playwright and Chromium (`pip install playwright`, and `playwright install chromium` or the system's chromium), and tmux
for the terminal, where `lasro distill` and `lasro finetune` really run, at a small size. The watched run is a copy of the
folder without what comes at a run's end, in the state that it had in the middle of tuning.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from cli.report.gather import gather
from cli.report.live import LivePage, Server
from cli.report.page import write_report
from recipes.terminal import as_page, terminal

IMAGES = Path(__file__).parents[1] / "docs" / "images"
DESK, PHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 844}
TERMINAL = {"width": 1280, "height": 1000}
DISTILL = "lasro distill --reward ocr --samples 1800 --noises 3 --steps 400 --out runs/ocr"
FINETUNE = "lasro finetune --surrogate runs/ocr/surrogate --steps 40 --eval-samples 128 --out runs/ocr-tuned"
LONGEST = 1200.0  # seconds that a command may take
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="a finished run folder of lasro quickstart or finetune")
    parser.add_argument("--terminal", action="store_true", help="the commands in a terminal, which takes minutes")
    parser.add_argument("--out", type=Path, default=IMAGES)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        if given.terminal:
            for name, screen in commands_run(Path(folder)):
                page = Path(folder) / f"{name}.html"
                page.write_text(as_page(screen), encoding="utf-8")
                shoot(browser, page.as_uri(), given.out / f"{name}.png", TERMINAL, only="#main")
        if given.run is None:
            return
        report = write_report([given.run], Path(folder) / "report.html").as_uri()
        shoot(browser, report, given.out / "report.png", DESK)
        shoot(browser, report, given.out / "report-phone.png", PHONE, color_scheme="dark", device_scale_factor=2)
        with watched(unfinished(given.run, Path(folder) / given.run.name)) as address:
            shoot(browser, address, given.out / "watch.png", DESK)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's own, or the one that playwright installed."""
    own = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=own)
        yield browser
        browser.close()


def commands_run(folder: Path) -> Iterator[tuple[str, str]]:
    """Names of pictures, and screens: distilling in the middle of its training, and a tuning that is done."""
    with terminal(folder) as shell:
        shell.type(DISTILL)
        yield "terminal-distill", shell.wait(half_trained, seconds=LONGEST)
        shell.wait(lambda screen: "next: lasro finetune" in screen.replace("\n", ""), seconds=LONGEST)
        shell.wait(lambda screen: screen.endswith("$"), seconds=60)
        shell.type("clear")
        shell.type(FINETUNE)
        yield "terminal-finetune", shell.wait(lambda screen: "report: runs/ocr-tuned" in screen, seconds=LONGEST)


def half_trained(screen: str) -> bool:
    """Whether the bar of training is past its middle."""
    return any(2 * int(done) > int(total) for done, total in re.findall(r"distil.*?(\d+)/(\d+)", screen))


def shoot(browser: Browser, address: str, path: Path, size: dict[str, int], *, only: str = "", **more: Any) -> None:  # noqa: ANN401
    """A picture of what one sees first, in few colours and so small."""
    page = browser.new_page(viewport=size, **more)
    page.goto(address)
    page.wait_for_selector("#main")
    page.wait_for_timeout(500)
    (page.locator(only) if only else page).screenshot(path=path)
    page.close()
    Image.open(path).convert("RGB").quantize(160, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path)


def unfinished(run: Path, copy: Path) -> Path:
    """The run as it was when tuning was all but done."""
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("labels", "checkpoints", "adapter", "*.safetensors"))
    for name in ("summary.json", "report.html", "samples/compared.jsonl"):
        (copy / name).unlink(missing_ok=True)
    last = gather(run).phase("finetune")[-1]
    state = {"state": "running", "phase": "tune", "pausable": True, "since": time.time() - 30, "first": 0}
    (copy / "state.json").write_text(json.dumps({**state, "done": last["step"] - 1, "total": last["steps"]}))
    return copy


@contextmanager
def watched(run: Path) -> Iterator[str]:
    """Its live page's address."""
    with Server(LivePage(run), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.address
        server.shutdown()


if __name__ == "__main__":
    main()
