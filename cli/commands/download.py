"""`lasro download`: a folder of weights for machines without network, laid out as `reward_zoo.weights` looks for them."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from cli.output import print_json, print_table, size_of
from finetune.errors import GeneratorError
from finetune.generators.needs import needs_of_generator, split_place, wanted_files
from finetune.generators.preset import Preset, find_preset, presets
from reward_zoo.errors import MissingWeightsError, SpecError, did_you_mean, first_line
from reward_zoo.needs import Need, needs_of
from reward_zoo.terminal import note
from reward_zoo.weights import is_offline


def download(*, to: Path, rewards: list[str], generators: list[str], dry_run: bool, as_json: bool) -> None:
    """Fetch everything that the rewards and generators need and the folder lacks."""
    if not rewards and not generators:
        raise SpecError("download: give --reward SPEC, --generator NAME, or several of them")
    if to.exists() and not to.is_dir():
        raise SpecError(f"--to {to}: is a file; give a folder")
    given = [preset_of(name) for name in generators]
    wanted = [(need, None) for spec in rewards for need in needs_of(spec)]
    wanted += [(need, preset) for preset in given for need in needs_of_generator(preset)]
    if dry_run:
        _print_plan([need for need, _ in wanted], as_json)
        return
    if is_offline() and wanted:
        raise MissingWeightsError("download: HF_HUB_OFFLINE is set, which forbids the network; unset it")
    files = [file for need, preset in dict.fromkeys(wanted) for file in fetch(need, preset, to)]
    total = sum((to / file).stat().st_size for file in files)
    if as_json:
        print_json({"to": str(to), "files": files, "bytes": total})
    elif files:
        note(f"{len(files)} files, {size_of(total)}; on the other machine: lasro … --weights {to}")
    else:
        note("nothing to fetch: all of it comes with Python packages, or is here")


def preset_of(name: str) -> Preset:
    """The preset of a generator's name, bare for a hub id.

    Raises:
        GeneratorError: no such generator.
    """
    preset = find_preset(name)
    if preset is None and not Path(name).is_dir() and split_place(name)[0] is None:
        hint = did_you_mean(name, presets())
        raise GeneratorError(f"unknown generator {name!r}; {hint} (or a hub id, or a preset.yaml)")
    return preset or Preset(name=name, source=name)


def fetch(need: Need, preset: Preset | None, to: Path) -> list[str]:
    """Fetch what a need names; the files, relative to the folder.

    Raises:
        MissingWeightsError: the hub, or the address, does not give it.
    """
    try:
        if need.source.startswith("https://"):
            return [_fetch_address(need, to)]
        from huggingface_hub import HfApi, snapshot_download

        listed = HfApi().list_repo_files(need.source)
        files = _chosen(need, preset, listed)
        if not files:
            raise FileNotFoundError(f"it holds no {need.file}")
        folder = need.source.replace("/", "--")
        note(f"{need.source} ({size_of(need.bytes)}): {len(files)} files, for {need.asked_by}")
        snapshot_download(need.source, allow_patterns=files, local_dir=to / folder)
    except Exception as error:
        raise MissingWeightsError(
            f"download {need.source} for {need.asked_by}: cannot be fetched ({first_line(error)}); "
            "check the name, the network, HF_ENDPOINT, and `hf auth login` where a licence must be accepted"
        ) from error
    return [f"{folder}/{file}" for file in files]


def _chosen(need: Need, preset: Preset | None, files: Sequence[str]) -> list[str]:
    if need.patterns:
        return [file for file in files if "/" not in file and any(fnmatch(file, pattern) for pattern in need.patterns)] or [
            file for file in files if file in need.patterns
        ]
    replaced = [part for part in ("unet", "vae") if preset and getattr(preset, part)]
    return wanted_files(files, known_by=need.file, replaced=replaced)


def _fetch_address(need: Need, to: Path) -> str:
    """A file at a plain address, whole or not at all."""
    import httpx

    if not (to / need.file).is_file():
        note(f"{need.source} ({size_of(need.bytes)}), for {need.asked_by}")
        to.mkdir(parents=True, exist_ok=True)
        draft = to / f".{need.file}.part"
        with httpx.stream("GET", need.source, follow_redirects=True, timeout=60) as answer, draft.open("wb") as file:
            answer.raise_for_status()
            for part in answer.iter_bytes(1 << 20):
                file.write(part)
        draft.replace(to / need.file)
    return need.file


def _print_plan(needs: Sequence[Need], as_json: bool) -> None:
    if as_json:
        print_json({"downloads": [need.as_dict() for need in needs]})
        return
    rows = [(need.source, size_of(need.bytes), "yes" if need.here else "no", need.asked_by) for need in needs]
    print_table(("from", "size", "on this machine", "for"), rows)
