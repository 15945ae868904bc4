"""`lasro bench` in miniature: every method runs, calls are counted, what is there is not run again."""

import json

import pytest
from PIL import Image

from cli.bench import signs
from cli.bench.plots import save_curves
from cli.bench.rows import Rows, mean_interval
from cli.commands.bench import table
from finetune.errors import ConfigError
from finetune.methods import METHODS


@pytest.fixture
def small(monkeypatch):
    sizes = {"BUDGETS": (40, 60), "LARGEST": 80, "EVALUATED": 4, "EVALUATED_TRAINING": 2, "DIVERSITY_PROMPTS": 1}
    sizes |= {"TUNING_BUDGET": 30, "RATES": (1e-3,), "LASRO": dict.fromkeys((30, 40, 60, 80), 1)}
    for name, value in sizes.items():
        monkeypatch.setattr(signs, name, value)
    monkeypatch.setattr(signs, "LABELS", {"noises": 2, "extra_steps": 0, "steps": 2, "backbone": "latent-cnn"})
    monkeypatch.setattr(signs, "TRAINING", {"validation_samples": 2, "batch_size": 4})


def test_methods_are_run_at_equal_calls_and_only_once(lasro, small, tmp_path, monkeypatch):
    command = [
        "bench",
        "signs",
        "--methods",
        "lasro,lasro:anchor=false:backbone=pixel-cnn,ddpo",
        "--budget",
        60,
        "--seeds",
        1,
        "--reward",
        "png_compressibility",
    ]
    command += ["--guard", "artifact_guard", "--out", tmp_path / "bench"]
    code, found, err = lasro(*command, "--json")
    assert code == 0, err
    assert found["c"] is None
    assert found["b"] == found["untuned"]["reward"]
    assert [(row["method"], row["budget"]) for row in found["results"]] == [
        (method, budget) for method in ("lasro", "lasro:anchor=false:backbone=pixel-cnn", "ddpo") for budget in (40, 60)
    ]
    runs = (tmp_path / "bench" / "work").iterdir()
    built = {run.name: json.loads((run / "surrogate" / "config.json").read_text())["distill"]["backbone"] for run in runs}
    asked = {f"lasro-{name}": "latent-cnn" for name in ("0-40", "0-60", "100-30")}
    assert built == asked | {f"lasro-0-{budget}-pixel-cnn": "pixel-cnn" for budget in (40, 60)}
    for row in found["results"]:
        assert row["budget"] * 0.6 <= row["calls"] <= row["budget"] + 18
        assert set(row["guards"]) == {"artifact_guard"}
        assert {"seed", "reward", "reward_one_step", "diversity", "minutes", "reward_training_prompts", "machine"} <= set(row)
    assert {row["method"] for row in found["tuning"]} == {"lasro", "ddpo"}
    with Image.open(tmp_path / "bench" / "curves.png") as picture:
        assert picture.width > 1000
    monkeypatch.setattr(signs.SignsBench, "_rival", lambda *_: pytest.fail("was run again"))
    monkeypatch.setattr(signs.SignsBench, "_lasro", lambda *_: pytest.fail("was run again"))
    code, again, err = lasro(*command, "--json")
    assert code == 0, err
    assert again == found
    code, text, _ = lasro(*command, "--show")
    assert "ddpo" in text


def test_lasro_asks_for_what_its_tuning_leaves():
    labels = {budget: signs.labels_of(budget) for budget in signs.LASRO}
    assert labels == {4_000: 2_624, 8_000: 5_344, 16_000: 13_344, 32_000: 29_344}


def test_learning_rates_of_another_rewards_benchmark(tmp_path):
    for rate in signs.RATES:
        found = {"learning_rate": rate, "validation_reward": 1 - rate}
        Rows(tmp_path / "first" / "tuning.jsonl").add({"method": "gors", **found})
    bench = signs.SignsBench(reward="ocr", guards=[], folder=tmp_path / "second", rates_from=tmp_path / "first")
    assert bench.learning_rate("gors") == min(signs.RATES)
    with pytest.raises(ConfigError, match=r"first: ddpo at 2.0e-04 was not tried there"):
        bench.learning_rate("ddpo")


def test_a_rate_that_is_not_there_is_missed_before_anything_is_run(lasro, tmp_path, monkeypatch):
    monkeypatch.setattr(signs.SignsBench, "untuned", lambda *_: pytest.fail("something was run"))
    code, out, err = lasro(
        "bench", "signs", "--methods", "ddpo", "--rates-from", tmp_path / "first", "--out", tmp_path / "bench"
    )
    assert (code, out) == (2, "")
    assert "ddpo at 2.0e-04 was not tried there" in err


@pytest.mark.parametrize(
    ("row", "flags", "said"),
    [
        ({"method": "untuned", "spec": "ocr"}, [], "holds results of ocr, not of symmetry; give --out of another folder"),
        ({"method": "untuned", "spec": "ocr"}, ["--show"], "holds results of ocr, not of symmetry"),
        ({"method": "untuned"}, ["--show"], "holds results of a reward it does not name"),
        (None, ["--show"], "holds no results; leave out --show to run"),
    ],
)
def test_a_folder_of_another_reward_or_of_nothing_is_refused(lasro, tmp_path, row, flags, said):
    out = tmp_path / "bench"
    if row:
        Rows(out / "results.jsonl").add(row)
    before = sorted(tmp_path.rglob("*"))
    code, printed, err = lasro("bench", "signs", "--reward", "symmetry", "--out", out, *flags)
    assert (code, printed) == (2, "")
    assert f"--out {out}: {said}" in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_line_that_was_cut_off_is_named(lasro, tmp_path):
    out = tmp_path / "bench"
    Rows(out / "results.jsonl").add({"method": "untuned", "spec": "ocr"})
    with (out / "results.jsonl").open("a") as file:
        file.write('{"method": "ddpo", "se')
    code, printed, err = lasro("bench", "signs", "--out", out, "--show")
    assert (code, printed) == (2, "")
    assert "results.jsonl: line 2 is damaged; delete it" in err


@pytest.mark.parametrize(
    "flags",
    [
        ["--methods", "ddpoo"],
        ["--methods", "lasro:anchor"],
        ["--methods", "ddpo:backbone=full"],
        ["--methods", "lasro:backbone=ful"],
        ["--budget", "10"],
    ],
)
def test_mistakes_are_named(lasro, flags, tmp_path):
    code, out, err = lasro("bench", "signs", *flags, "--out", tmp_path / "bench")
    assert (code, out) == (2, "")
    assert flags[0] in err
    assert not (tmp_path / "bench").exists()


def test_the_default_methods_need_no_gradient(lasro):
    from cli.bench_app import RIVALS

    assert set(METHODS) - set(RIVALS.split(",")) == {"refl", "draft-lv"}


def test_rows_are_kept_as_they_come(tmp_path):
    rows = Rows(tmp_path / "deep" / "rows.jsonl")
    assert list(rows) == []
    rows.add({"method": "a", "seed": 0})
    rows.add({"method": "a", "seed": 1})
    assert rows.where(method="a", seed=1) == [{"method": "a", "seed": 1}]
    assert json.loads((tmp_path / "deep" / "rows.jsonl").read_text().splitlines()[0])["seed"] == 0


def test_rows_with_other_guards_stand_beside_each_other(tmp_path):
    untuned = {"reward": 0.5, "reward_one_step": 0.4, "guards": {"g": 0.3, "h": 0.2}, "diversity": 0.2}
    untuned |= {"calls": 0, "minutes": 0.0}
    row = {"method": "m", "reward": 0.6, "reward_one_step": 0.6, "diversity": 0.2, "minutes": 1.0, "seed": 0}
    row |= {"budget": 4000, "calls": 4000, "reward_training_prompts": 0.8}
    rows = [{**row, "guards": {"g": 0.4}}, {**row, "guards": {"g": 0.4, "h": 0.1}, "seed": 1}]
    summary = {"b": 0.5, "c": 0.9, "reward": "r", "untuned": untuned, "results": rows}
    assert table(summary)[1][8] == "g +0.100, h -0.100"
    save_curves(summary, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_the_gap_closed_is_a_share_of_what_reconstruction_leaves():
    untuned = {"reward": 0.5, "reward_one_step": 0.4, "guards": {"g": 0.3}, "diversity": 0.2}
    row = {"method": "m", "budget": 4000, "reward_training_prompts": 0.8, "reward_one_step": 0.6, "guards": {"g": 0.4}}
    rows = [{**row, "reward": reward, "diversity": 0.19} for reward in (0.6, 0.8)]
    line = table({"b": 0.5, "c": 0.9, "untuned": untuned, "results": rows})[1]
    assert line[:4] == ("m", "4,000", "2", "0.700")
    assert line[5:] == ("50%", "0.600", "0.800", "g +0.100", "0.95")
    assert mean_interval([0.7]) == pytest.approx((0.7, 0.7, 0.7))
