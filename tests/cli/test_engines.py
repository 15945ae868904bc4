"""`lasro label --engine`: the same store by one process, by several, and by a Ray cluster whose workers are killed."""

import os
import socket
import subprocess
import sys

import pytest

from surrogate.store import LabelledStore

OWN = """
import os
from pathlib import Path

MARK = Path(__file__).parent / "killed"

def light(images):
    return images.mean((1, 2, 3))

def deadly(images):
    if not MARK.exists():
        MARK.write_text(str(os.getpid()))
        os.kill(os.getpid(), 9)
    return images.mean((1, 2, 3))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    (folder / "own.py").write_text(OWN)
    (folder / "prompts.txt").write_text("\n".join(f"a picture of {number}" for number in range(9)))
    return folder


@pytest.fixture
def arguments(place, tiny_sdxl):
    """Of a labelling of 72 rows in 5 shards."""
    given = ["--generator", tiny_sdxl, "--prompts", place / "prompts.txt", "--samples", 72, "--label-batch-size", 8]
    return lambda out, *more, reward="light": [
        *("label", *given, "--reward", f"{place}/own.py:{reward}", "--device", "cpu", "--out", place / out, "--json", *more)
    ]


def files(folder):
    """The shards and index of a store, byte for byte."""
    store = LabelledStore.open(folder / "labels")
    assert len(store) == 72
    return {file.name: file.read_bytes() for file in store.folder.rglob("*") if file.is_file() and file.name != "meta.json"}


@pytest.fixture
def alone(lasro, arguments, place):
    """What one process writes."""
    code, out, err = lasro(*arguments("alone", "--overwrite"))
    assert code == 0, err
    assert out["reward_calls"] == 72
    return files(place / "alone")


def test_several_processes_share_the_work(arguments, alone, place):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port), "-m", "cli"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command += map(str, arguments("shared", "--engine", "accelerate"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert '"reward_calls": 72' in done.stdout
    assert done.stdout.count('"store"') == 1
    assert files(place / "shared") == alone


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_ray_cluster_writes_the_same_store_though_a_worker_is_killed(cluster, lasro, arguments, alone, place):
    code, out, err = lasro(*arguments("ray", "--engine", "ray", reward="deadly"))
    assert code == 0, err
    assert (place / "killed").exists()
    assert out["reward_calls"] == 72
    assert files(place / "ray") == alone
    shards = sorted((place / "ray" / "labels").glob("index.parquet/*.parquet"))
    for part in (shards[0], shards[3]):
        part.unlink()
    code, out, err = lasro(*arguments("ray", "--engine", "ray", "--resume", reward="deadly"))
    assert code == 0, err
    assert files(place / "ray") == alone


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_mistake_in_a_ray_worker_is_one_line(cluster, lasro, arguments, place):
    (place / "own.py").write_text(OWN + "def raises(images):\n    raise ValueError('no GPU')\n")
    code, _, err = lasro(*arguments("mistake", "--engine", "ray", reward="raises"))
    assert code == 2
    assert "the reward raised ValueError: no GPU" in err
    assert not (place / "mistake").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--engine", "rey"], "--engine rey: no such engine; did you mean 'ray'?"),
        (["--engine", "accelerate"], "this is one process alone; start several: accelerate launch"),
        (["--reward-workers", "-1"], "--reward-workers -1: must be 0 (none) or more"),
    ],
)
def test_mistakes(lasro, arguments, place, more, says):
    code, _, err = lasro(*arguments("none", *more))
    assert code == 2
    assert says in err
    assert not (place / "none").exists()


def test_ray_that_is_not_installed(lasro, arguments, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = lasro(*arguments("none", "--engine", "ray"))
    assert code == 2
    assert "pip install 'lasro[ray]'" in err


def test_processes_that_were_launched_for_another_engine(lasro, arguments, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = lasro(*arguments("none"))
    assert code == 2
    assert "--engine local: 2 processes were launched together; give --engine accelerate" in err
