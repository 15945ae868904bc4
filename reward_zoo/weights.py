"""Where weights are, of rewards, generators and surrogates: given by the user, put by hand, or on the hub.

Looked for in this order:
1. what the user gives: the option `weights=PATH` of a spec, a folder in place of a hub id;
2. `$LASRO_WEIGHTS/ORG--NAME/FILE` (`--weights DIR`), for machines without a network; `lasro download` fills such a folder;
3. the Hugging Face cache, then the hub itself, or the mirror that HF_ENDPOINT names (never with HF_HUB_OFFLINE=1).
"""

from __future__ import annotations

import os
from pathlib import Path

from reward_zoo.errors import MissingWeightsError, first_line

FOLDER_VARIABLE = "LASRO_WEIGHTS"


def place_by_hand(repo: str, file: str = "") -> str:
    """Where a file of a hub repository is looked for on a machine without a network."""
    return "/".join(part for part in (f"${FOLDER_VARIABLE}", repo.replace("/", "--"), file) if part)


def weight_file(repo: str, file: str, *, reward: str, given: str | None = None, option: str = "weights") -> Path:
    """A weight file of a hub repository, on this machine.

    Args:
        repo: hub id, `ORG/NAME`.
        file: the file's path in that repository.
        reward: who asks, for the message.
        given: the user's option: the file itself, or a folder that holds it.
        option: its name, for the message.

    Raises:
        MissingWeightsError: it is nowhere; the message says where to put it.
    """
    if given is not None:
        path = Path(given).expanduser()
        path = path / Path(file).name if path.is_dir() else path
        if not path.is_file():
            raise MissingWeightsError(f"{reward}: {option}={given}: no file {path}; give {file} of {repo}, or its folder")
        return path
    try:
        return hub_file(repo, file)
    except Exception as error:
        raise _missing(reward, repo, file, error, option=option) from error


def weight_folder(repo: str, *, reward: str, given: str | None = None, patterns: tuple[str, ...] = ()) -> Path:
    """A whole model folder of the hub (config, tokenizer, weights), on this machine; see `weight_file`.

    Raises:
        MissingWeightsError: it is nowhere.
    """
    if given is not None:
        path = Path(given).expanduser()
        if not (path / "config.json").is_file():
            raise MissingWeightsError(f"{reward}: weights={given}: no model folder there (config.json is missing)")
        return path
    try:
        return hub_folder(repo, patterns=patterns)
    except Exception as error:
        raise _missing(reward, repo, "", error) from error


def hub_file(repo: str, file: str) -> Path:
    """A file of a hub repository: put by hand, kept in the cache, or fetched; whatever the hub's library raises."""
    if (placed := _placed(repo, file)) is not None:
        return placed
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repo, file))


def hub_folder(repo: str, *, known_by: str = "config.json", patterns: tuple[str, ...] = ()) -> Path:
    """The same for the files of a repository that match; put by hand where its file `known_by` is."""
    if (placed := placed_folder(repo, known_by)) is not None:
        return placed
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repo, allow_patterns=list(patterns) or None))


def placed_folder(repo: str, known_by: str = "config.json") -> Path | None:
    """The folder of a repository that was put by hand, if its file `known_by` is there."""
    placed = _placed(repo, known_by)
    return Path(str(placed).removesuffix(known_by)) if placed else None


def is_local(source: str, file: str) -> bool:
    """Whether a file of a hub repository or of an https address is on this machine already; asks no network."""
    if source.startswith("https://"):
        return _placed("", file) is not None or _torch_hub_path(source).is_file()
    if _placed(source, file) is not None:
        return True
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(source, file), str)


def address_file(address: str, *, reward: str, given: str | None = None, option: str = "weights") -> Path:
    """`weight_file` for one published at a plain address; it is fetched into torch's download folder.

    Raises:
        MissingWeightsError: it is nowhere; the message says where to put it.
    """
    name = Path(address).name
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise MissingWeightsError(f"{reward}: {option}={given}: no file {path}; give {name} from {address}")
        return path
    if (placed := _placed("", name)) is not None:
        return placed
    path = _torch_hub_path(address)
    if not path.is_file():
        try:
            if is_offline():
                raise ConnectionError("HF_HUB_OFFLINE is set")
            import torch

            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(path), progress=False)
        except Exception as error:
            raise _missing(reward, "", name, error, source=address, option=option) from error
    return path


def is_offline() -> bool:
    """Whether the person forbids the network, as the hub's library reads it."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _torch_hub_path(address: str) -> Path:
    """Where torch keeps what it fetched, without importing it."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints" / Path(address).name


def _placed(repo: str, file: str) -> Path | None:
    folder = os.environ.get(FOLDER_VARIABLE)
    path = Path(folder).expanduser() / repo.replace("/", "--") / file if folder else None
    return path if path is not None and path.is_file() else None


def _missing(
    reward: str, repo: str, file: str, error: Exception, *, source: str = "", option: str = "weights"
) -> MissingWeightsError:
    reason = first_line(error)
    what = source or (f"{repo}: {file}" if file else repo)
    return MissingWeightsError(
        f"{reward}: weights {what} are not on this machine and cannot be fetched ({reason}); "
        f"put them at {place_by_hand(repo, file)}, or give {option}=PATH"
    )
