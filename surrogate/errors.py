"""The surrogate's branch of the error tree (root: reward_zoo/errors.py).

SurrogateError
├── StoreError            a labelled store is missing, damaged, or of another kind
├── SurrogateFolderError  a surrogate folder is missing, damaged, or of a newer format
├── BackboneError         a backbone is unknown, cannot be loaded, or cannot do what is asked of it
├── LatentSpaceError      generator and surrogate do not share a latent space
├── LabelError            the labels cannot teach anything: all tied, or mostly invalid
├── ResumeError           a run that cannot be gone on with
├── TeamError             processes that cannot train together as asked
├── EngineError           labels cannot be made by the engine asked for
└── RunFolderError        a run's folder cannot be used

Apart from it stands Ended: nothing went wrong, a run was asked to end.
"""

from __future__ import annotations

from reward_zoo.errors import LasroError


class SurrogateError(LasroError):
    """Anything about surrogates and their labels."""


class StoreError(SurrogateError):
    """A labelled store is missing, damaged, or of another kind."""


class SurrogateFolderError(SurrogateError):
    """A surrogate folder is missing, damaged, or of a newer format."""


class BackboneError(SurrogateError):
    """A backbone is unknown, cannot be loaded, or cannot do what is asked of it."""


class LatentSpaceError(SurrogateError):
    """Generator and surrogate do not share a latent space."""


class LabelError(SurrogateError):
    """The labels cannot teach anything."""


class ResumeError(SurrogateError):
    """A run that cannot be gone on with."""


class TeamError(SurrogateError):
    """Processes that cannot train together as asked."""


class EngineError(SurrogateError):
    """Labels cannot be made by the engine asked for."""


class RunFolderError(SurrogateError):
    """A run's folder, `--out`, cannot be used."""


class Ended(Exception):
    """A signal ended the run, and what was done is saved: it can be resumed."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by signal {number}, and saved; resume it to go on")
        self.exit_code = 128 + number
