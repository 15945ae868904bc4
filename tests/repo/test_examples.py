"""Every script of examples/ is run, at sizes that take seconds: the constants of its first cells are replaced."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TINY = {
    "score_a_folder": {"PICTURES": repr(str(ROOT / "docs" / "images" / "gallery"))},
    "own_reward": {"SAMPLES, DISTILL_STEPS, STEPS, EVAL_SAMPLES": "48, 2, 2, 4"},
    "distil_and_inspect": {"SAMPLES, STEPS": "72, 2", "PROMPTS, GRADIENT_SAMPLES": "6, 4"},
    "finetune_sdxl_turbo": {"SAMPLES, DISTILL_STEPS, STEPS, BATCH_SIZE, EVAL_SAMPLES, LORA_RANK": "24, 2, 2, 2, 4, 2"},
}
LEFT = {  # what a script leaves behind
    "score_a_folder": ("scores.csv",),
    "own_reward": ("runs/own-reward/tuned/summary.json", "runs/own-reward/tuned/adapter/pytorch_lora_weights.safetensors"),
    "distil_and_inspect": ("runs/inspect/surrogate/fidelity.json", "runs/inspect/steps.png"),
    "finetune_sdxl_turbo": ("runs/turbo/tuned/adapter/pytorch_lora_weights.safetensors", "runs/turbo/prompts"),
}


def with_constants(script, constants):
    for names, values in constants.items():
        script, found = re.subn(rf"^{re.escape(names)} = .*$", f"{names} = {values}", script, flags=re.MULTILINE)
        assert found == 1, f"{names} stands {found} times"
    return script


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs_and_leaves_what_it_promises(path, tmp_path, tiny_sdxl, monkeypatch, capsys):
    constants = dict(TINY[path.stem])
    if path.stem == "finetune_sdxl_turbo":
        constants["GENERATOR"] = repr(str(tiny_sdxl))
    script = tmp_path / path.name
    script.write_text(with_constants(path.read_text(encoding="utf-8"), constants))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out.strip()
    for name in LEFT[path.stem]:
        assert (tmp_path / name).exists(), name


def test_each_is_in_cells_and_the_docs_name_it():
    page = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
    assert {path.stem for path in EXAMPLES} == set(TINY) == set(LEFT)
    for path in EXAMPLES:
        assert path.read_text(encoding="utf-8").startswith("# %% [markdown]\n# # "), path.name
        assert f"examples/{path.name}" in page, path.name
