"""`lasro export`: a run's adapter as a whole pipeline, or onto the hub."""

from __future__ import annotations

from pathlib import Path

import yaml

from cli.output import print_json
from reward_zoo.errors import SpecError
from reward_zoo.terminal import note, progress
from surrogate.runs.folder import check_out, open_run

PIPELINE_FILE = "model_index.json"


def export(
    *, run: Path, generator: str | None, merge: bool, out: Path | None, push_to_hub: str | None, overwrite: bool, as_json: bool
) -> None:
    """Merge, push, or both."""
    if not merge and not push_to_hub:
        raise SpecError("export: give --merge with --out FOLDER, or --push-to-hub OWNER/NAME")
    if merge != (out is not None):
        raise SpecError(f"--merge and --out go together; {'give --out FOLDER' if merge else 'give --merge'}")
    tuned, whole = _tuned(run)
    if whole and merge:
        raise SpecError(f"--merge: {tuned} is a whole pipeline already, not an adapter; leave out --merge and --out")
    if out:
        generator = generator or _generator_of(tuned)
        check_out(out, overwrite=overwrite, resume=False, reads=[run, tuned, generator])
        _merge(tuned, generator, out, overwrite)
        note(f"pipeline: {out}")
    address = _push(out or tuned, push_to_hub) if push_to_hub else None
    if as_json:
        pipeline = tuned if whole else out
        adapter = None if whole else str(tuned)
        print_json({"adapter": adapter, "pipeline": str(pipeline) if pipeline else None, "address": address})


def _tuned(run: Path) -> tuple[Path, bool]:
    """The folder of what a run tuned, and whether that is a whole pipeline rather than an adapter.

    Raises:
        SpecError: neither is there.
    """
    from finetune.lora import WEIGHTS_FILE

    places = [(run / "adapter", WEIGHTS_FILE), (run, WEIGHTS_FILE), (run / "pipeline", PIPELINE_FILE), (run, PIPELINE_FILE)]
    for folder, file in places:
        if (folder / file).is_file():
            return folder, file == PIPELINE_FILE
    raise SpecError(
        f"{run}: {'holds no adapter and no pipeline' if run.is_dir() else 'no such folder'}; "
        "give a finished run of lasro finetune, or its adapter folder"
    )


def _generator_of(adapter: Path) -> str:
    config = adapter.parent / "config.yaml"
    name = yaml.safe_load(config.read_text()).get("generator") if config.is_file() else None
    if name is None:
        raise SpecError(f"{adapter}: no config.yaml beside it says what was tuned; give --generator")
    return name


def _merge(adapter: Path, generator: str, out: Path, overwrite: bool) -> None:
    from finetune.generators.pipeline import load_generator
    from finetune.lora import merge_lora

    pipeline = load_generator(generator, "cpu").pipeline
    merge_lora(pipeline, adapter)
    with open_run(out, overwrite=overwrite, watched=False) as folder, progress("save") as bar:
        bar(0, 1)
        pipeline.save_pretrained(folder.path)
        card = adapter / "README.md"
        if card.is_file():
            (folder.path / "README.md").write_text(card.read_text())
        bar(1, 1)


def _push(folder: Path, repo_id: str) -> str:
    from huggingface_hub import HfApi

    from finetune.errors import FinetuneError
    from reward_zoo.errors import first_line

    api = HfApi()
    try:
        api.create_repo(repo_id, exist_ok=True)
        address = str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Tuned by lasro"))
    except Exception as error:
        raise FinetuneError(
            f"--push-to-hub {repo_id}: the hub refused ({first_line(error)}); check the name, the network and `hf auth login`"
        ) from error
    note(f"pushed: {address}")
    return address
