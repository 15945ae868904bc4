"""What a reward's scores look like on a person's own images: mean, spread and quantiles, kept for composites.

Kept in `$LASRO_CACHE/calibration.json` (default ~/.cache/lasro), one entry a reward spec.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reward_zoo.errors import RewardFailedError

if TYPE_CHECKING:
    import torch

FOLDER_VARIABLE = "LASRO_CACHE"
QUANTILES = 21  # 0 %, 5 %, … 100 %


@dataclass(frozen=True)
class Calibration:
    """Mean, spread and evenly spaced quantiles of `count` scores."""

    mean: float
    spread: float
    quantiles: tuple[float, ...]
    count: int

    def z(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores in spreads above the mean."""
        return (scores - self.mean) / self.spread


def fit(scores: torch.Tensor, name: str) -> Calibration:
    """Calibration of the finite scores.

    Raises:
        RewardFailedError: fewer than two, or all equal.
    """
    import torch

    scores = scores[scores.isfinite()].double()
    if len(scores) < 2 or scores.min() == scores.max():
        raise RewardFailedError(
            f"{name}: cannot be calibrated on {len(scores)} equal or single scores; give more varied images"
        )
    quantiles = torch.quantile(scores, torch.linspace(0, 1, QUANTILES, dtype=torch.float64))
    return Calibration(scores.mean().item(), scores.std().item(), tuple(quantiles.tolist()), len(scores))


def cache_folder() -> Path:
    """Where lasro keeps what it may lose."""
    return Path(os.environ.get(FOLDER_VARIABLE) or Path.home() / ".cache" / "lasro").expanduser()


def saved(spec: str) -> Calibration | None:
    """The calibration of a spec, if there is one."""
    found = _read().get(spec)
    return Calibration(**{**found, "quantiles": tuple(found["quantiles"])}) if found else None


def save(spec: str, calibration: Calibration) -> Path:
    """Keep a calibration, atomically; the file it is in."""
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(_read() | {spec: asdict(calibration)}, indent=2))
    temporary.replace(path)
    return path


def _path() -> Path:
    return cache_folder() / "calibration.json"


def _read() -> dict[str, dict[str, object]]:
    return json.loads(_path().read_text()) if _path().is_file() else {}
