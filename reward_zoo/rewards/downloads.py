"""Weight files that live at a plain address rather than on the hub."""

from __future__ import annotations

from pathlib import Path

from reward_zoo.errors import MissingWeightsError


def torch_hub_file(address: str, *, reward: str, remedy: str) -> Path:
    """The file of that name in torch's own download folder, `$TORCH_HOME/hub/checkpoints`; fetched if it is not there.

    Args:
        address: where the file is published.
        reward: who asks, for the message.
        remedy: the end of the message: what to do without a network.

    Raises:
        MissingWeightsError: it is not there and cannot be fetched.
    """
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / address.rsplit("/", 1)[-1]
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(path), progress=False)
        except Exception as error:
            problem = f"weights {address} are not on this machine and cannot be fetched ({error})"
            raise MissingWeightsError(f"{reward}: {problem}; put them at {path}, {remedy}") from error
    return path
