"""Latent surrogates of rewards: labels, training, fidelity, folders.

>>> import surrogate
>>> surrogate.DistillConfig(samples=900).noises
4
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reward_zoo.lazily import lazily

if TYPE_CHECKING:
    from surrogate.config import DistillConfig
    from surrogate.folder import SavedSurrogate, load_surrogate
    from surrogate.jobs import distill
    from surrogate.model import Surrogate
    from surrogate.store import LabelledStore

__all__ = ["DistillConfig", "LabelledStore", "SavedSurrogate", "Surrogate", "distill", "load_surrogate"]
_HOMES = {
    "DistillConfig": "config",
    "LabelledStore": "store",
    "SavedSurrogate": "folder",
    "Surrogate": "model",
    "distill": "jobs",
    "load_surrogate": "folder",
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
