"""Rewards in a process of their own, of this interpreter: the same scores, and a life that ends with who asked for it."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import torch

import reward_zoo
from reward_zoo.cache import identity
from reward_zoo.errors import MissingInputError, NoAnswerError, NotDifferentiableError, ServingError, SpecError
from reward_zoo.loading import absolute_spec
from reward_zoo.serving import config
from tests.tiny.processes import ROOT, gone
from tests.tiny.serving import until

OWN = '''
import os, time
from reward_zoo.errors import MissingInputError
print("hello from the import")

def moody(images, prompts):
    """A mean, or what the first prompt says."""
    print("scoring")
    if prompts[0] == "die":
        os.abort()
    if prompts[0] == "complain":
        raise MissingInputError("moody: say please")
    if prompts[0].startswith("sleep"):
        time.sleep(float(prompts[0].split()[1]))
    return images.mean((1, 2, 3))
'''


def own_file(folder):
    (folder / "own.py").write_text(OWN)
    return f"isolated:{folder / 'own.py'}:moody"


@pytest.fixture
def own(tmp_path):
    return own_file(tmp_path)


@pytest.fixture(scope="module")
def moody(tmp_path_factory):
    """One that no test kills: to start one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LASRO_CACHE", str(tmp_path_factory.mktemp("cache")))
        return reward_zoo.load(own_file(tmp_path_factory.mktemp("own")))


def worker_of(reward):
    return reward.endpoints[0].worker


def test_it_is_the_reward_in_another_process(moody, images):
    folder = worker_of(moody).folder
    assert torch.equal(moody(images=images, prompts="").values, images.mean((1, 2, 3)))
    assert (moody.card.name, moody.card.summary) == ("moody", "A mean, or what the first prompt says.")
    assert moody.card.needs == ("prompt",)
    assert worker_of(moody).process.pid != os.getpid()
    assert folder.stat().st_mode & 0o077 == 0
    with pytest.raises(NotDifferentiableError):
        moody(images=images.requires_grad_(True), prompts="")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(folder / "socket"))) as stranger:
        assert stranger.get("http://localhost/rewards").status_code == 401


def test_it_ends_with_the_last_who_uses_it():
    reward = reward_zoo.load("isolated:contrast")
    pid, folder = worker_of(reward).process.pid, worker_of(reward).folder
    del reward
    gone(pid)
    assert not folder.exists()


def test_mistakes_are_the_same_class_as_in_process(moody, images):
    with pytest.raises(MissingInputError, match=r"own\.py:moody/score: 422: moody: say please"):
        moody(images=images, prompts="complain")


def test_what_the_reward_prints_stays_out_of_the_way(moody, images, capfd):
    assert torch.equal(moody(images=images, prompts="").values, images.mean((1, 2, 3)))
    assert capfd.readouterr().out == ""
    assert (worker_of(moody).folder / "log").read_text().startswith("hello from the import")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("isolated:brigthness", "did you mean 'brightness'"),
        ("isolated:ocr:mod=exact", "no option 'mod'; did you mean 'mode'"),
        ("isolated:http://host:1/ocr", "is in a process of its own already; leave out 'isolated:'"),
        ("isolated:isolated:ocr", "is in a process of its own already"),
        ("isolated", "is written isolated:NAME"),
        ("isolated:", "not a spec"),
        ("isolated:no/such.py:dark", "reward file no/such.py: no such file"),
    ],
)
def test_a_wrong_spec_starts_nothing(spec, message, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(reward_zoo.LasroError, match=message):
        reward_zoo.load(spec)


def test_without_the_servers_packages_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(config, "PACKAGES", ("no_such_package",))
    with pytest.raises(ServingError, match=r'isolated:ocr needs no_such_package: pip install "lasro\[serve\]"'):
        reward_zoo.load("isolated:ocr")


def test_a_slow_one_is_given_up_on_in_time(moody, images, monkeypatch):
    monkeypatch.setenv("LASRO_TIMEOUT", "0.3")
    began = time.monotonic()
    with pytest.raises(
        NoAnswerError, match=r"own.py:moody/score: no answer after 1 try \(no answer within 0.3 s; LASRO_TIMEOUT"
    ):
        moody(images=images, prompts="sleep 3")
    assert time.monotonic() - began < 2.5


def test_one_that_dies_of_a_question_is_an_error_and_serves_the_next(own, images):
    reward = reward_zoo.load(own)
    with (
        pytest.warns(UserWarning, match="own.py:moody: its worker was ended by SIGABRT; it is started again"),
        pytest.raises(NoAnswerError, match="its worker was ended by SIGABRT when it was asked, twice") as caught,
    ):
        reward(images=images, prompts="die")
    log = Path(str(caught.value).partition("whole log: ")[2].removesuffix(")"))
    assert "scoring\n" in log.read_text()
    assert "Fatal Python error: Aborted" in log.read_text()
    with pytest.warns(UserWarning, match="is started again"):
        assert b"A mean" in reward.endpoints[0].ask("GET", "/rewards")


def test_one_that_was_killed_is_started_again_once_for_all_threads(own):
    reward, found = reward_zoo.load(own), []
    killed = worker_of(reward).process
    killed.kill()
    killed.wait(10)
    ask = reward.endpoints[0].ask
    threads = [threading.Thread(target=lambda: found.append(ask("GET", "/rewards"))) for _ in range(4)]
    with pytest.warns(UserWarning, match="was ended by SIGKILL; it is started again") as said:
        in_parallel(threads)
    assert (len(found), len(said)) == (4, 1)
    assert b"A mean" in found[0]


def in_parallel(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("import no_such_package", SpecError, "importing it raised ModuleNotFoundError: No module named 'no_such_package'"),
        (
            "import sys; sys.exit('not today')",
            NoAnswerError,
            "ended with exit code 1 before its reward was loaded; it said last: not today",
        ),
        (
            "import sys, time; sys.stderr.write('waiting'); sys.stderr.flush(); time.sleep(60)",
            NoAnswerError,
            r"was not loaded within 0.5 s; LASRO_START_TIMEOUT is how long to wait; it said last: \w+ \(whole log",
        ),
    ],
)
def test_one_that_does_not_start_says_why(code, error, message, tmp_path, monkeypatch):
    (tmp_path / "bad.py").write_text(code)
    monkeypatch.setenv("LASRO_START_TIMEOUT", "0.5" if "sleep" in code else "60")
    with pytest.raises(error, match=message):
        reward_zoo.load(f"isolated:{tmp_path / 'bad.py'}:score")
    monkeypatch.setenv("LASRO_START_TIMEOUT", "soon")
    with pytest.raises(SpecError, match="LASRO_START_TIMEOUT=soon: is not a number of seconds"):
        reward_zoo.load("isolated:contrast")


PARENT = """
import os, signal, sys, time, reward_zoo
reward = reward_zoo.load(sys.argv[1])
worker = reward.endpoints[0].worker
if "fork" in sys.argv and os.fork() == 0:
    time.sleep(20)  # holds what the parent held
    os._exit(0)
print(worker.process.pid, worker.folder, flush=True)
if "busy" in sys.argv:
    import torch
    print(flush=True)
    reward(images=torch.rand(1, 3, 8, 8), prompts="sleep 60")
if "ends" not in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["ends", "is killed", "is killed while it asks", "is killed, but not its fork"])
def test_it_ends_with_its_parent(how, own, tmp_path):
    words = [word for word, sign in (("ends", "ends"), ("busy", "asks"), ("fork", "fork")) if sign in how]
    command = [sys.executable, "-c", PARENT, own, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        pid, folder = parent.stdout.readline().split()
        if "asks" in how:
            parent.stdout.readline()
            time.sleep(0.3)
            parent.kill()
        gone(int(pid))
        until(lambda: not Path(folder).exists())
        parent.wait(20)


def test_remembered_scores_are_of_the_file_as_it_is(moody, own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_spec("isolated:own.py:moody") == own
    before = identity(moody, own)
    assert identity(moody, "isolated:own.py:moody") == before
    (tmp_path / "own.py").write_text(OWN + "# another")
    assert identity(moody, own) != before
