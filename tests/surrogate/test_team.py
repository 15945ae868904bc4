"""Several processes train the surrogate that one would: the same batches, the same losses, sums in another order."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from surrogate.building import build_surrogate
from surrogate.config import DistillConfig
from surrogate.distillation import train_surrogate
from surrogate.errors import LabelError, TeamError
from surrogate.folder import load_surrogate
from surrogate.team import Team
from tests.surrogate.team_training import SIZES, labels, save

SETTINGS = {
    "unet": {"backbone": "encoder", "bf16": False},
    "lora": {"backbone": "full", "tune": "lora", "lora_rank": 2, "bf16": False},
    "pixels": {"backbone": "pixel-cnn", "bf16": False},
}


def launch(folder, tiny_sdxl, name, kind):
    """Two processes on the CPU (gloo), as torchrun starts them; accelerate launch does the same on GPUs."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port())]
    command += ["-m", "tests.surrogate.team_training", str(tiny_sdxl), str(folder), json.dumps(SETTINGS[name]), kind]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def moved(surrogate, start):
    """How far training took each weight, as one vector."""
    state = surrogate.state_dict()
    return torch.cat([(state[name] - value).flatten() for name, value in start.items() if value.is_floating_point()])


@pytest.mark.parametrize(("name", "kind"), [("unet", "whole"), ("lora", "whole"), ("unet", "shard"), ("pixels", "shard")])
def test_two_processes_train_as_one(generator, tiny_sdxl, tmp_path, name, kind):
    save(generator, tmp_path / "one", SETTINGS[name], Team())
    launch(tmp_path / "two", tiny_sdxl, name, kind)
    one, two = (load_surrogate(tmp_path / run) for run in ("one", "two"))
    assert [run.fidelity["processes"] for run in (one, two)] == [1, 2]
    start = build_surrogate(generator, labels()[0], DistillConfig(**SIZES, **SETTINGS[name])).state_dict()
    way, other = moved(one.surrogate, start), moved(two.surrogate, start)
    assert way.norm() > 0
    assert (way - other).norm() < 0.02 * way.norm()
    losses = [torch.tensor(run.fidelity["losses"]) for run in (one, two)]
    assert torch.allclose(*losses, rtol=1e-4), losses


def test_more_processes_than_prompts_are_refused(generator):
    config = DistillConfig(prompts_per_batch=2, backbone="encoder")
    with pytest.raises(LabelError, match="--prompts-per-batch 2: fewer than the 3 processes"):
        train_surrogate(generator, *labels(), config, margin=0.2, team=Team(count=3))


def test_one_process_has_nobody_to_share_weights_with():
    with pytest.raises(TeamError, match="--shard spreads weights over several processes"):
        Team.gather(sharded=True)


def test_rows_are_shared_and_put_together():
    team = Team(count=2, rank=1)
    shares = team.shares(5)
    assert [share.tolist() for share in shares] == [[0, 1, 2], [3, 4]]
    assert Team().together(torch.arange(3.0), [torch.arange(3)]).tolist() == [0, 1, 2]
