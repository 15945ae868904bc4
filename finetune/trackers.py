"""Where a run's numbers and pictures go beside its folder: TensorBoard and others, through accelerate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward_zoo.errors import MissingWeightsError, SpecError, did_you_mean, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

PACKAGES = {name: name for name in ("tensorboard", "wandb", "trackio", "swanlab", "mlflow", "aim")}


class Trackers:
    """Some trackers, or none.

    Args:
        names: of `PACKAGES`; "none" stands for none.
        folder: the run's; trackers that write files do so in its folder tracking.
        config: the run's settings.

    Raises:
        SpecError: no such tracker.
        MissingWeightsError: its package is not installed, or it refuses to start.
    """

    def __init__(self, names: Sequence[str], folder: Path, config: dict[str, Any]) -> None:
        names = [name for name in names if name != "none"]
        self.trackers: list[Any] = []
        check_names(names)
        if not names:
            return
        from accelerate import Accelerator

        try:
            accelerator = Accelerator(log_with=names, project_dir=str(folder / "tracking"))
            accelerator.init_trackers("lasro", config=_flat(config))
        except Exception as error:
            packages = " ".join(PACKAGES[name] for name in names)
            raise MissingWeightsError(
                f"--tracker {', '.join(names)}: cannot start ({first_line(error)}); pip install {packages}, or --tracker none"
            ) from error
        self.trackers = accelerator.trackers

    def log(self, record: dict[str, Any], step: int) -> None:
        """The numbers of a step."""
        numbers = {name: value for name, value in record.items() if isinstance(value, (int, float))}
        for name, value in record.get("guards", {}).items():
            numbers["guard/" + re.sub(r"[^\w.-]+", "_", name)] = value
        for tracker in self.trackers:
            tracker.log(numbers, step=step)

    def picture(self, name: str, picture: Image, step: int) -> None:
        """A picture of a step."""
        import numpy as np

        for tracker in self.trackers:
            if hasattr(tracker, "log_images"):
                layout = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
                tracker.log_images({name: np.asarray(picture)[None]}, step=step, **layout)

    def finish(self) -> None:
        """Nothing more comes."""
        for tracker in self.trackers:
            tracker.finish()


def check_names(names: Sequence[str]) -> None:
    """See that there are such trackers.

    Raises:
        SpecError: there is not.
    """
    for name in names:
        if name not in (*PACKAGES, "none"):
            raise SpecError(f"--tracker {name}: no such tracker; {did_you_mean(name, [*PACKAGES, 'none'])}")


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """Values that every tracker takes."""
    return {name: value if isinstance(value, (int, float, bool)) else str(value) for name, value in config.items()}
