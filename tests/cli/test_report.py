"""The report of a run: what it says, that it holds itself, and that no text in it is taken for markup."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from cli.report.curves import Axis, Chart, Series, thinned
from cli.report.gather import gather
from cli.report.page import write_report
from tests.tiny.run_folder import EVIL, PROMPTS, build_run


class Reader(HTMLParser):
    """Tags with their attributes, and the text outside of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.inside = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data):
        if not self.inside:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture
def run(tmp_path):
    return build_run(tmp_path / "run")


def read(path):
    return Reader(path.read_text(encoding="utf-8"))


def test_the_story_stands_first(run):
    page = read(write_report([run]))
    for said in (
        "ocr rose from 0.641 to 0.841",
        "+0.200 on held-out prompts, 95 % interval +0.170 to +0.230",
        "tiny-signs",
        "5,620",
        "4,500 labels · 640 training · 480 validation; 1,024 more to measure",
        "The reward rose, but it may have been cheated",
        "guard sharpness fell from 0.500 to 0.450",
        "step 20",
        "blown out 0.0 → 1.0 %",
    ):
        assert said in page.text, said


def test_every_prompt_has_its_pictures_and_scores(run):
    page = read(write_report([run]))
    cards = [facts for tag, facts in page.tags if tag == "li" and facts.get("class") == "card"]
    assert [card["data-prompt"] for card in cards] == PROMPTS
    first = json.loads((run / "samples" / "compared.jsonl").read_text().splitlines()[0])
    assert float(cards[0]["data-gain"]) == pytest.approx(first["after"]["score"] - first["before"]["score"])
    pictures = [facts for tag, facts in page.tags if tag == "img"]
    assert len(pictures) == 2 * len(PROMPTS) + 3  # and three validations
    assert all(facts["src"].startswith("data:image/webp;base64,") for facts in pictures)
    assert all(facts["alt"] and facts["width"] and facts["height"] for facts in pictures)


def test_curves_and_fidelity_are_there(run):
    page = read(write_report([run]))
    for said in ("True reward", "Guards", "Diversity", "Accuracy on fresh samples", "Calibration", "after one step", "0.810"):
        assert said in page.text, said
    charts = [json.loads(facts["data-chart"]) for _, facts in page.tags if "data-chart" in facts]
    held_out = next(part for chart in charts for part in chart["series"] if part["name"] == "true reward, held out")
    assert [point[2:] for point in held_out["points"]] == [["96", "0.500"], ["352", "0.600"], ["608", "0.700"]]


def test_the_page_loads_nothing(run):
    text = write_report([run]).read_text(encoding="utf-8")
    page = Reader(text)
    for tag, facts in page.tags:
        for name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href"):
            assert facts.get(name, "data:").startswith(("data:", "#")), (tag, facts)
    assert not re.search(r"url\(|@import|https?://", text)
    policy = next(facts["content"] for tag, facts in page.tags if facts.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:")
    assert "connect-src" not in policy


def test_texts_are_no_markup(tmp_path):
    text = write_report([build_run(tmp_path / "run", reward=EVIL)]).read_text(encoding="utf-8")
    page = Reader(text)
    assert page.count("script") == 1
    assert page.count("i") == 2  # the two dots of the table's key: what a reward read makes none
    assert not any("onerror" in facts for _, facts in page.tags)
    assert EVIL in page.text  # as it was written


def test_passwords_in_addresses_are_left_out(tmp_path):
    reward = "http://me:secret@host:8000/ocr"
    text = write_report([build_run(tmp_path / "run", reward=reward)]).read_text(encoding="utf-8")
    assert "secret" not in text
    assert "//…@host:8000/ocr" in text


def test_landmarks_and_headings(run):
    page = read(write_report([run]))
    assert [page.count(tag) for tag in ("main", "header", "nav", "footer", "h1")] == [1, 1, 1, 1, 1]
    ids = [facts["id"] for _, facts in page.tags if "id" in facts]
    assert len(set(ids)) == len(ids)
    named = {part for _, facts in page.tags for key in ("aria-labelledby", "for") for part in (facts.get(key) or "").split()}
    assert named <= set(ids)
    assert {facts["href"] for tag, facts in page.tags if tag == "a"} <= {f"#{name}" for name in ids}


def test_runs_are_compared_in_one_page(lasro, tmp_path):
    runs = [build_run(tmp_path / name / "run", shift=shift) for name, shift in (("one", 0.2), ("two", 0.3))]
    out = tmp_path / "both.html"
    code, result, err = lasro("report", *runs, "--out", out, "--json")
    assert code == 0, err
    assert result["report"] == str(out)
    assert [found["reward"]["after"] for found in result["runs"]] == pytest.approx([0.841, 0.941])
    page = read(out)
    assert "2 runs compared" in page.text
    assert all(str(run) in page.text for run in runs)  # of one name, so by their paths
    cards = [facts for tag, facts in page.tags if tag == "li" and facts.get("class") == "card"]
    assert len(cards) == len(PROMPTS)
    assert page.count("img") == 3 * len(PROMPTS)  # before, and each one's after


def test_a_report_of_one_run_lies_in_its_folder_and_may_be_made_again(lasro, run):
    for _ in range(2):
        code, out, err = lasro("report", run)
        assert code == 0, err
        assert out.strip() == str(run / "report.html")


@pytest.mark.parametrize(
    "missing", ["summary.json", "metrics.jsonl", "samples", "surrogate", "environment.json", "config.yaml"]
)
def test_what_is_missing_is_left_out(run, missing):
    path = run / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert read(write_report([run])).count("h1") == 1


def test_a_job_that_is_not_finished_has_a_page(tmp_path):
    run = build_run(tmp_path / "run", finished=False)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"phase": "finetune", "step": 41, "va')  # being written
    page = read(write_report([run]))
    assert "True reward so far 0.500 → 0.700" in page.text
    assert gather(run).records[-1]["step"] == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{place}"], "not a run folder; give one that lasro distill"),
        (["{place}/nothing"], "not a run folder"),
        (["{place}/run", "--out", "{place}/other.html"], "exists and is no report; give another name"),
        (["{place}/run", "--out", "{place}"], "exists and is no report"),
    ],
)
def test_mistakes_are_named(lasro, run, tmp_path, arguments, message):
    (tmp_path / "other.html").write_text("<p>mine</p>")
    code, out, err = lasro("report", *[part.format(place=tmp_path) for part in arguments])
    assert (code, out) == (2, "")
    assert message in err
    assert (tmp_path / "other.html").read_text() == "<p>mine</p>"


def test_a_damaged_file_is_named(lasro, run):
    (run / "summary.json").write_text("{")
    code, _, err = lasro("report", run)
    assert code == 2
    assert "summary.json: cannot be read" in err


def test_making_a_report_loads_no_torch(run):
    command = f"sys.argv = ['lasro', 'report', {str(run)!r}]; from cli.app import main; main()"
    code = f"import sys; {command}; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("values", "ticks"),
    [([0, 1], 6), ([0.42, 0.47], 6), ([5, 5], 6), ([-0.2, 900], 6), ([1e-5, 3e-5], 5)],
)
def test_axes_hold_their_values_between_round_ticks(values, ticks):
    axis = Axis.around(values, 0, 100, count=5)
    assert axis.low <= min(values)
    assert max(values) <= axis.high * (1 + 1e-9)
    assert 3 <= len(axis.ticks) <= ticks + 2
    assert axis(axis.low) == 0
    assert axis(axis.high) == pytest.approx(100)


def test_thinned_lines_keep_their_ends_and_mean():
    points = [(float(x), float(x)) for x in range(1000)]
    found = thinned(points, 100)
    assert len(found) == 100
    assert found[0] == (4.5, 4.5)
    assert found[-1] == (994.5, 994.5)


def test_a_chart_says_what_it_shows():
    chart = Chart("key", "Reward", "", "calls", [Series("held <out>", [(0, 0.5), (10, 0.75)], dots=True)])
    svg = chart.svg()
    assert 'aria-label="Reward, over calls: held &lt;out&gt; from 0.500 to 0.750."' in svg
    assert svg.count("<circle") == 2
