"""Shared by all tests: no network but loopback, and tiny models built once a session."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported: no waiting for a network that is not there
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is: tests run side by side

import torch

from tests.tiny.sdxl import build_sdxl, build_sdxl_base, build_weights


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the person's own cache."""
    monkeypatch.setenv("LASRO_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline folder at SDXL's shape with random weights."""
    return build_sdxl(tmp_path_factory.mktemp("models") / "tiny-sdxl")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with SDXL base's own scheduler, for presets to build on."""
    return build_sdxl_base(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="session")
def weights(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files in the published layouts that go with it, by name."""
    return build_weights(tmp_path_factory.mktemp("models") / "weights", base)


@pytest.fixture(scope="session")
def generator(tiny_sdxl: Path) -> object:
    """The tiny pipeline as a generator; tests must not change it."""
    from finetune.generators.pipeline import load_generator

    return load_generator(str(tiny_sdxl))


@pytest.fixture
def images() -> torch.Tensor:
    """Four different pictures."""
    return torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def lasro(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, object, str]]:
    """Run the CLI in this process: (exit code, stdout as JSON where it is, stderr)."""
    from cli.app import main

    def run(*arguments: object) -> tuple[int, object, str]:
        monkeypatch.setattr("sys.argv", ["lasro", *map(str, arguments)])
        capsys.readouterr()
        code = main()
        out, err = capsys.readouterr()
        try:
            return code, json.loads(out), err
        except ValueError:
            return code, out, err

    return run


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray cluster of two processes on this machine, which import what is tested here."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    environment = {"env_vars": {"PYTHONPATH": os.getcwd()}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR", runtime_env=environment)
    yield
    ray.shutdown()
