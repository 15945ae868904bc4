"""Reports, the live page and the voting page in headless Chromium; skipped where there is none."""

import json
import shutil
import threading

import pytest
from PIL import Image

from cli.compare.pairs import find_pairs
from cli.compare.server import VotingServer
from cli.compare.votes import Votes
from cli.report.live import LivePage, Server
from cli.report.page import write_report
from tests.tiny.run_folder import PROMPTS, build_run

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.slow
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def chromium():
    own = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    with playwright.sync_playwright() as found:
        try:
            browser = found.chromium.launch(executable_path=own)
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Open an address; the page must say nothing on its console, and fetch nothing but from itself."""
    said, contexts = [], []

    def open_page(address, *, width=1280, height=900, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request", lambda sent: said.append(sent.url) if not sent.url.startswith(("data:", *allowed(address))) else None
        )
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def allowed(address):
    return (address,) if address.startswith("file:") else (address.rsplit("/", 1)[0],)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report([build_run(tmp_path_factory.mktemp("runs") / "run")]).as_uri()


def prompts(page):
    return page.eval_on_selector_all("#cards .card:not([hidden])", "cards => cards.map(card => card.dataset.prompt)")


def gains(page):
    return page.eval_on_selector_all("#cards .card:not([hidden])", "cards => cards.map(card => Number(card.dataset.gain))")


def test_cards_are_sorted_filtered_and_opened(visit, report):
    page = visit(report)
    assert prompts(page) == PROMPTS[:24]
    page.select_option("#order", "gain-up")
    assert gains(page) == sorted(gains(page))
    page.select_option("#order", "gain-down")
    assert gains(page) == sorted(gains(page), reverse=True)
    page.click("#more")
    assert len(prompts(page)) == len(PROMPTS)
    page.fill("#filter", "blue SIGN")
    assert len(prompts(page)) == 14
    assert page.inner_text("#counted") == f"14 of {len(PROMPTS)} prompts"
    assert page.title().startswith("ocr rose")  # the script in a prompt did not run


def test_the_keyboard_is_enough(visit, report):
    page = visit(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.focus("#cards .card .open")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    assert page.is_visible("#zoom")
    first = page.inner_text("#zoom .prompt")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#zoom .prompt") != first
    page.keyboard.press("Escape")
    assert not page.is_visible("#zoom")
    page.focus(".chart svg[role=img]")
    page.keyboard.press("ArrowRight")
    assert "reward calls of tuning 96" in page.inner_text(".plot output >> nth=0")
    page.keyboard.press("Escape")
    assert page.inner_text(".plot output >> nth=0") == ""


def test_tables_sort_and_say_so(visit, report):
    page = visit(report)
    page.click("#all-scores summary")
    head = "#all-scores th:has-text('after') >> nth=0"
    for way in ("ascending", "descending"):
        page.click(f"{head} >> button")
        assert page.get_attribute(head, "aria-sort") == way
        column = page.eval_on_selector(head, "head => head.cellIndex")
        read = "(rows, column) => rows.map(row => Number(row.children[column].textContent))"
        values = page.eval_on_selector_all("#all-scores tbody tr", read, column)
        assert values == sorted(values, reverse=way == "descending")
    assert page.locator("#all-scores th[aria-sort]").count() == 1


def test_values_are_read_off_under_the_pointer(visit, report):
    page = visit(report)
    page.locator(".plot").first.scroll_into_view_if_needed()
    page.hover(".plot >> nth=0")
    assert "true reward, held out: 0." in page.inner_text(".plot output >> nth=0")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_screen_and_all_can_be_read(visit, report, scheme, width):
    page = visit(report, width=width, scheme=scheme)
    for details in page.query_selector_all("details"):
        details.evaluate("part => part.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink, paper = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    assert (luminance(paper) > 0.5) == (scheme == "light")
    for selector in ("body", "small", ".aside", ".facts dt", "h1 .after", ".delta.up", ".delta.down", ".verdict li"):
        colour = page.eval_on_selector(selector, "part => getComputedStyle(part).color")
        assert contrast(colour, paper) >= 4.5, (selector, scheme)
    assert contrast(ink, paper) >= 7


def luminance(colour):
    """Relative luminance of rgb(r, g, b) (WCAG 2)."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(", ")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_several_runs_in_one_page(visit, tmp_path):
    runs = [build_run(tmp_path / name, shift=shift) for name, shift in (("one", 0.2), ("two", 0.3))]
    page = visit(write_report(runs, tmp_path / "both.html").as_uri(), width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.select_option("#order", "spread-down")
    assert len(prompts(page)) == 24
    page.click(".runs th:has-text('After') >> button")
    page.click(".runs th:has-text('After') >> button")
    assert page.inner_text(".runs tbody tr >> nth=0").strip().startswith("two")


def test_a_live_page_follows_and_keeps_what_the_reader_did(visit, tmp_path):
    run = build_run(tmp_path / "run")
    state = {"state": "running", "phase": "tune", "done": 7, "total": 40, "pausable": True}
    (run / "state.json").write_text(json.dumps(state))
    with Server(LivePage(run), 0) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        page = visit(server.address)
        page.select_option("#order", "gain-up")
        page.fill("#filter", "red")
        page.click("#numbers-tuning summary")
        page.evaluate("document.activeElement.blur(); scrollTo(0, 900)")
        wanted = prompts(page)
        with (run / "metrics.jsonl").open("a") as file:
            calls = {"reward_calls": 400, "validation_calls": 400}
            file.write(json.dumps({"phase": "finetune", "step": 60, "steps": 80, "validation_reward": 0.987, **calls}) + "\n")
        (run / "state.json").write_text(json.dumps({**state, "done": 8}))
        page.wait_for_selector("#numbers-tuning td:has-text('0.987')")
        page.wait_for_selector(".state:has-text('8 of 40')")
        assert page.evaluate("document.querySelector('#numbers-tuning').open")
        assert page.evaluate("scrollY") > 500
        assert prompts(page) == wanted
        page.click("[data-wish=pause]")
        page.wait_for_selector("[data-wish=go]:visible")
        assert json.loads((run / "control.json").read_text()) == {"wish": "pause"}
        page.click("[data-wish=stop]")
        page.click("#stop [data-close]")
        assert json.loads((run / "control.json").read_text()) == {"wish": "pause"}
        page.click("[data-wish=stop]")
        page.click("#stop [data-stop]")
        page.wait_for_selector(".state:has-text('Stopping')")
        assert json.loads((run / "control.json").read_text()) == {"wish": "stop"}
        (run / "state.json").write_text(json.dumps({"state": "ended", "phase": "tune", "done": 9, "total": 40}))
        page.wait_for_selector(".state:has-text('lasro quickstart --out x --resume')")
        assert page.is_disabled("[data-wish=stop]")
        server.shutdown()


def test_votes_by_mouse_and_by_key(visit, tmp_path):
    folders = tmp_path / "base", tmp_path / "tuned"
    for folder in folders:
        folder.mkdir()
        for name in "abc":
            Image.new("RGB", (64, 32), "gray").save(folder / f"{name}.png")
    votes = Votes(tmp_path / "votes.csv", *folders)
    with VotingServer(find_pairs(*folders, seed=0, voter="me"), votes, "me") as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        page = visit(server.address)
        page.wait_for_function("document.querySelector('#right img').naturalWidth === 64")
        page.click("#left")
        page.wait_for_selector("#count:has-text('1 of 3')")
        page.keyboard.press("2")
        page.wait_for_selector("#count:has-text('2 of 3')")
        page.keyboard.press("0")
        page.wait_for_selector("#prompt:has-text('All pairs are answered')")
        assert server.finished.wait(2)
        assert [vote.choice for vote in votes.held] == ["left", "right", "tie"]
        server.shutdown()
