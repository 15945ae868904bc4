"""Rewards in processes of their own: the same scores, named errors, no orphans."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

import reward_zoo
from reward_zoo.composite import Composite
from reward_zoo.errors import MissingInputError, NotDifferentiableError, RewardFailedError, SpecError
from reward_zoo.workers import in_workers, reward_workers

OWN = """
import os

def where(images, prompts):
    return [float(os.getpid()) for _ in images]

def prints(images):
    print("asked", flush=True)
    return [1.0] * len(images)

def raises(images):
    raise ValueError("no GPU")

def dies(images):
    os._exit(3)

def some(images):
    return [float("nan") if row else 1.0 for row in range(len(images))]
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(OWN)
    return path


@pytest.fixture(scope="module")
def workers():
    with reward_workers(2) as started:
        yield started


def same(found, want):
    assert torch.equal(found.values, want.values)
    assert found.perceived == want.perceived
    assert set(found.components) == set(want.components)
    assert all(torch.equal(part, want.components[name]) for name, part in found.components.items())


@pytest.mark.parametrize("spec", ["ocr", "0.7*jpeg_compressibility+0.3*contrast", "rank(brightness+contrast)"])
def test_scores_are_those_of_this_process(spec, workers):
    pictures, prompts = torch.rand(7, 3, 32, 96, generator=torch.Generator().manual_seed(0)), ['a sign that says "NOW"'] * 7
    same(in_workers(spec, workers)(images=pictures, prompts=prompts), reward_zoo.load(spec)(images=pictures, prompts=prompts))


def test_what_a_reward_prints_is_no_data(own, capfd, images):
    with reward_workers(1) as started:
        assert in_workers(f"{own}:prints", started)(images=images).values.tolist() == [1.0] * 4
    out, err = capfd.readouterr()
    assert out == ""
    assert "asked" in err


def test_a_batch_is_split_unless_scores_depend_on_it(workers, own, images):
    reward = in_workers(f"{own}:where", workers)
    assert reward.elsewhere
    pids = reward(images=images, prompts="x").values.tolist()
    assert os.getpid() not in pids
    assert len(set(pids[:2])) == len(set(pids[2:])) == 1
    whole = in_workers(f"{own}:some", workers)
    assert whole(images=images).valid.tolist() == [True, False, True, False]  # the first of each half
    whole.card = type(whole.card)(**{**vars(whole.card), "per_image": False})
    assert whole(images=images).valid.tolist() == [True, False, False, False]


def test_composites_stay_composites(workers):
    reward = in_workers("brightness+contrast", workers)
    assert isinstance(reward, Composite)
    assert reward.elsewhere
    assert in_workers("ocr", workers).has_hindsight


def test_errors_are_those_of_this_process(workers, own, images):
    with pytest.raises(RewardFailedError, match="the reward raised ValueError: no GPU"):
        in_workers(f"{own}:raises", workers)(images=images)
    with pytest.raises(MissingInputError, match="'no text' quotes no text to read"):
        in_workers("ocr", workers)(images=images, prompts="no text")
    with pytest.raises(NotDifferentiableError):
        in_workers("ocr", workers)(images=images.clone().requires_grad_(), prompts='a "B"')
    with pytest.raises(SpecError, match="--reward-workers -1"), reward_workers(-1):
        pass


def test_gradients_come_from_here(workers, images):
    pictures = images.clone().requires_grad_()
    in_workers("brightness", workers)(images=pictures).values.sum().backward()
    assert pictures.grad.abs().sum() > 0


def test_a_dead_worker_is_a_named_error(own, images):
    with reward_workers(1) as workers, pytest.raises(RewardFailedError, match=r"a reward worker died.*--reward-workers"):
        in_workers(f"{own}:dies", workers)(images=images)


SLEEPER = """
import signal, sys, time
from reward_zoo.workers import in_workers, reward_workers
import torch
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells switch off in what they start in the background
    with reward_workers(2) as workers:
        pids = in_workers(sys.argv[1] + ":where", workers)(images=torch.rand(2, 3, 8, 8), prompts="x").values.tolist()
        print(*map(int, pids), flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(own, tmp_path, number):
    (tmp_path / "parent.py").write_text(SLEEPER)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, str(tmp_path / "parent.py"), str(own)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert all(map(alive, pids))
        parent.send_signal(number)
        parent.wait(20)
    end = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def alive(pid):
    """Whether a process is there, and no zombie that nobody has buried yet."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
