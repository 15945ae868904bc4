"""Real server processes that are killed, started again, slow, or not lasro's: the client says so, and nothing hangs."""

import subprocess
import sys
import threading
import time

import pytest
import torch
from PIL import Image

import reward_zoo
from reward_zoo.errors import NoAnswerError, RewardError
from reward_zoo.serving import client
from tests.tiny.processes import ServeProcess
from tests.tiny.serving import until

OWN = '''
import time
from pathlib import Path

def slow(images, prompts):
    """A mean, after as many seconds as the first prompt says; a file says that it was asked."""
    Path(__file__).with_suffix(".asked").touch()
    time.sleep(float(prompts[0]))
    return images.mean((1, 2, 3))

def quick(images):
    """A mean."""
    return images.mean((1, 2, 3))
'''


@pytest.fixture
def flags(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return ["--reward", f"slow={tmp_path / 'own.py'}:slow", "--reward", f"quick={tmp_path / 'own.py'}:quick"]


def test_killed_in_the_middle_of_a_request_and_started_again(flags, images, tmp_path, monkeypatch):
    """The client goes on with the new one; while there is none, it says so within its bound."""
    monkeypatch.setattr(client, "FIRST_WAIT", 0.6)  # a server takes seconds to start
    found, asked = [], tmp_path / "own.asked"
    with ServeProcess(*flags, "--port", 0) as server:
        address = server.rewards["slow"]
        port = address.split(":")[2].split("/")[0]
        reward = reward_zoo.load(address)
        asking = threading.Thread(target=lambda: found.append(reward(images=images, prompts="0.7")))
        asking.start()
        until(asked.exists)
        server.end()
    with ServeProcess(*flags, "--port", port):
        asking.join(30)
        assert torch.equal(found[0].values, images.mean((1, 2, 3)))
        assert reward(images=images, prompts="0").valid.all()
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)
    began = time.monotonic()
    with pytest.raises(
        NoAnswerError, match=f"{address[:-5]}/score: no answer after 6 tries .*refused.*; start the server, or mend"
    ):
        reward(images=images, prompts="0")
    assert time.monotonic() - began < 5


def test_a_slow_reward_is_given_up_on_and_the_others_are_not_held_up(flags, images, monkeypatch):
    with ServeProcess(*flags, "--port", 0) as server:
        slow, quick = (reward_zoo.load(server.rewards[name]) for name in ("slow", "quick"))
        assert quick(images=images).valid.all()  # torch is imported there
        monkeypatch.setenv("LASRO_TIMEOUT", "0.5")
        began = time.monotonic()
        with pytest.raises(NoAnswerError, match=r"no answer within 0.5 s; LASRO_TIMEOUT is how long to wait"):
            slow(images=images, prompts="30")
        assert time.monotonic() - began < 5
        monkeypatch.setenv("LASRO_TIMEOUT", "20")
        assert torch.equal(quick(images=images).values, images.mean((1, 2, 3)))


GARBAGE = """
import os, socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    connection, _ = server.accept()
    connection.recv(65536)
    connection.sendall(os.urandom(5000))
    connection.close()
"""
OTHER = """
from http.server import HTTPServer, SimpleHTTPRequestHandler
server = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.mark.parametrize(
    ("program", "message"),
    [(GARBAGE, "no answer after 6 tries"), (OTHER, "rewards: 404: .*is that a lasro server of this version")],
)
def test_what_is_no_lasro_server_is_named(program, message, lasro, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path) as process:
        try:
            spec = f"http://127.0.0.1:{int(process.stdout.readline())}/ocr"
            with pytest.raises(RewardError, match=message):
                reward_zoo.load(spec)
            code, _, error = lasro("rewards", "score", tmp_path / "picture.png", "--reward", spec)
        finally:
            process.kill()
    assert code == 2
    assert [line[:7] for line in error.splitlines() if line.startswith("error")] == ["error: "]
    assert "Traceback" not in error
