"""`lasro serve`: what it refuses to start as, and its life as a process."""

import json
import signal
import socket
import threading

import pytest
import torch

import reward_zoo
from reward_zoo.serving import config
from tests.tiny.processes import ServeProcess

MISTAKES = {
    "an unknown reward": (["--reward", "brigthness"], "did you mean 'brightness'"),
    "a name twice": (["--reward", "brightness", "--reward", "brightness:target=0.5"], "--reward mine=brightness:target=0.5"),
    "a composite without a name": (["--reward", "brightness+contrast"], "cannot stand in an address; give it a name"),
    "no batch": (["--reward", "brightness", "--max-batch", "0"], "--max-batch 0: must be more than 0"),
    "a port that is none": (["--reward", "brightness", "--port", "99999"], "--port 99999: is not from 0 to 65535"),
    "another machine's address": (["--reward", "brightness", "--host", "192.0.2.1"], "--host 192.0.2.1"),
    "an empty variable": (["--reward", "brightness", "--token-from", "NO_SUCH"], "--token-from NO_SUCH: the variable is empty"),
    "a missing file": (["--reward", "brightness", "--token-file", "no/such"], "--token-file no/such: "),
    "two tokens": (["--reward", "brightness", "--token-from", "A", "--token-file", "b"], "give one of them"),
    "a folder as a socket": (["--reward", "brightness", "--unix", "/"], "--unix /: "),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_are_one_line(kind, lasro):
    flags, message = MISTAKES[kind]
    code, _, error = lasro("serve", *flags, *([] if "--port" in flags else ["--port", "0"]))
    assert (code, error.count("\n")) == (2, 1)
    assert message in error


def test_a_port_that_is_taken(lasro):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, error = lasro("serve", "--reward", "brightness", "--port", taken.getsockname()[1])
    assert (code, "Address already in use; choose another" in error) == (2, True)


def test_without_the_extra_it_says_what_to_install(lasro, monkeypatch):
    monkeypatch.setattr(config, "PACKAGES", ("fastapi", "no_such_package"))
    code, _, error = lasro("serve", "--reward", "brightness")
    assert (code, error) == (2, 'error: lasro serve needs no_such_package: pip install "lasro[serve]"\n')


@pytest.mark.parametrize(
    ("token", "warning"), [([], "anybody there may use it"), (["--token-from", "WORD"], "put TLS in front")]
)
def test_others_who_can_reach_it_are_warned_of(lasro, monkeypatch, token, warning):
    monkeypatch.setenv("WORD", "secret")
    code, _, error = lasro("serve", "--reward", "brigthness", "--host", "0.0.0.0", "--port", "0", *token)
    assert (code, warning in error) == (2, True)


SLOW = '''
import time

def slow(images):
    """A mean, slowly."""
    time.sleep(0.5)
    return images.mean((1, 2, 3))
'''


def test_a_server_process_from_start_to_stop(tmp_path, images, monkeypatch):
    """At a Unix socket, with a token; SIGTERM in the middle of a request."""
    (tmp_path / "own.py").write_text(SLOW)
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.setenv("LASRO_TOKEN", "secret")
    place = ["--unix", tmp_path / "socket", "--token-file", tmp_path / "token"]
    with ServeProcess("--reward", f"late={tmp_path / 'own.py'}:slow", *place) as server:
        process, spec = server.process, f"unix:{tmp_path / 'socket'}/late"
        assert server.rewards == {"late": spec}
        reward, found = reward_zoo.load(spec), []
        assert (tmp_path / "socket").stat().st_mode & 0o077 == 0
        asking = threading.Thread(target=lambda: found.append(reward(images=images)))
        asking.start()
        asking.join(0.25)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
        asking.join(10)
    assert process.returncode == 0
    assert torch.equal(found[0].values, images.mean((1, 2, 3)))
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert [(line["event"], line["reward"], line["images"], line["status"]) for line in lines] == [("score", "late", 4, 200)]
    assert err.splitlines()[-1] == "stopped; everything that was accepted is answered"
    assert not (tmp_path / "socket").exists()
