"""The limits of a reward server."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib.util import find_spec

from reward_zoo.errors import ServingError

PACKAGES = ("fastapi", "uvicorn", "prometheus_client")  # that a server needs and a client does not


def check_packages(who: str) -> None:
    """That a server can run in this environment.

    Raises:
        ServingError: packages are missing.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ServingError(f'{who} needs {", ".join(missing)}: pip install "lasro[serve]"')


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """What a server takes, and how long anything may last.

    Raises:
        ServingError: a limit that nothing could pass.
    """

    max_batch: int = 32  # images that several requests are scored in at once; 1: each request by itself
    max_wait_ms: float = 5.0  # that the first request of a batch waits for others, and no longer than the last call took
    max_queue: int = 64  # requests accepted and not answered yet; more are told to come back
    max_body_mb: float = 256.0  # of one request, and four times that of its pictures unpacked
    max_images: int = 1024  # of one request
    timeout: float = 300.0  # seconds from a request's arrival to its answer
    stop_timeout: float = 60.0  # seconds that a stopping server takes to finish what it accepted

    def __post_init__(self) -> None:
        for limit in fields(self):
            value, least = getattr(self, limit.name), 0 if limit.name == "max_wait_ms" else 1e-9
            if not least <= value < float("inf"):
                raise ServingError(f"--{limit.name.replace('_', '-')} {value}: must be more than 0")

    @property
    def max_body(self) -> int:
        """Bytes of one request."""
        return int(self.max_body_mb * 2**20)
