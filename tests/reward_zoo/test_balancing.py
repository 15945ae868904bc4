"""Several servers share the work; one that dies, hangs or talks nonsense is named, and another does its share."""

import itertools
import os
import socket
import threading
import time

import pytest
import torch

import reward_zoo
from reward_zoo.errors import NoAnswerError, ProtocolError, RewardError, RewardFailedError, SpecError
from reward_zoo.serving import client, endpoint
from tests.tiny.serving import Serving, Slow


class Raw:
    """A port where each connection is handed to `behave(socket)` after something was read from it."""

    def __init__(self, behave):
        self.behave, self.asked = behave, 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.asked += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            connection.recv(2000)
            self.behave(connection)

    def close(self):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()


def goes_away(connection):
    """As a process that is killed while it works."""


def hangs(connection):
    time.sleep(2)


def babbles(connection):
    connection.sendall(b"SSH-2.0-nonsense\r\n\r\n")


def half_an_answer(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nX-Lasro-Protocol: 1\r\n\r\n{")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(client, "FIRST_WAIT", 0.001)


@pytest.fixture
def server():
    with Serving("brightness") as server:
        yield server


@pytest.fixture
def raw():
    made = []

    def make(behave):
        made.append(Raw(behave))
        return made[-1]

    yield make
    for one in made:
        one.close()


def redirected(spec, *urls):
    """A reward that found its servers well, and finds others in their place."""
    reward = reward_zoo.load(spec)
    for place, url in zip(reward.endpoints, urls, strict=True):
        place.base = url
    return reward


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (goes_away, "Server disconnected|reset by peer"),
        (hangs, "no answer within 0.5 s; LASRO_TIMEOUT"),
        (babbles, "illegal status line|reset by peer"),
        (half_an_answer, "peer closed connection|reset by peer"),
    ],
)
def test_a_broken_server_is_named_and_another_takes_over(behave, reason, quick, server, raw, images, monkeypatch):
    monkeypatch.setenv("LASRO_TIMEOUT", "0.5" if behave is hangs else "5")
    broken, spec = raw(behave), f"{server.url}/brightness"
    alone = redirected(spec, broken.address)
    with pytest.raises(NoAnswerError, match=f"{broken.address}/score: no answer .*({reason}).*start the server"):
        alone(images=images)
    both = redirected(f"{spec},{spec}", broken.address, server.url)
    for _ in range(3):
        assert torch.equal(both(images=images).values, reward_zoo.load("brightness")(images=images).values)
    asked = broken.asked
    assert both(images=images).valid.all()
    assert broken.asked == asked  # it rests


def test_a_server_that_comes_back_is_waited_for(server, images, monkeypatch):
    reward, port, pauses = reward_zoo.load(f"{server.url}/brightness"), server.port, []
    server.stop()
    started = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            started.append(Serving("brightness", port=port))

    monkeypatch.setattr(client.time, "sleep", sleep)
    assert reward(images=images).valid.all()
    assert len(pauses) == 3
    assert all(0.5 * first <= pause <= 1.5 * first for pause, first in zip(pauses, (0.25, 0.5, 1.0), strict=True))
    started[0].stop()


def test_a_batch_is_shared_and_comes_back_in_order(images):
    rewards = Slow(), Slow()
    with Serving(rewards[0]) as one, Serving(rewards[1]) as other:
        reward = reward_zoo.load(f"{one.url}/slow,{other.url}/slow")
        many = torch.cat([images, 1 - images[:3]])
        assert torch.equal(reward(images=many).values, many.mean((1, 2, 3)))
        assert sorted(shape[0] for part in rewards for shape in part.batches) == [3, 4]
        for image in many:
            reward(images=image)
        assert all(len(part.batches) == 1 + share for part, share in zip(rewards, (4, 3), strict=True)) or all(
            len(part.batches) == 1 + share for part, share in zip(rewards, (3, 4), strict=True)
        )


def test_what_depends_on_its_batch_is_not_shared(images):
    ranked = reward_zoo.load("rank(brightness+contrast)")
    ranked.card = client.replace(ranked.card, name="ranked")
    with Serving(ranked) as one, Serving(ranked) as other:
        reward = reward_zoo.load(f"{one.url}/ranked,{other.url}/ranked")
        assert torch.equal(reward(images=images).values, ranked(images=images).values)


def test_a_server_that_is_missing_from_the_start_is_warned_of(quick, server, images):
    with pytest.warns(UserWarning, match=r"127\.0\.0\.1:9/rewards: no answer after 6 tries .*; the others take over"):
        reward = reward_zoo.load(f"http://127.0.0.1:9/brightness,{server.url}/brightness")
    assert reward(images=images).valid.all()
    with pytest.raises(NoAnswerError, match=r"127\.0\.0\.1:9/rewards"):
        reward_zoo.load("http://127.0.0.1:9/brightness,http://127.0.0.1:9/contrast")


def test_servers_of_different_rewards_are_refused():
    with Serving("brightness", "contrast") as server, pytest.raises(ProtocolError, match="do not serve the same reward"):
        reward_zoo.load(f"{server.url}/brightness,{server.url}/contrast")


def test_composites_take_several_servers(server, images):
    url = f"{server.url}/brightness"
    both = reward_zoo.load(f"raw(0.5*{url},{url}+0.5*contrast)")(images=images).values
    assert torch.allclose(both, reward_zoo.load("raw(0.5*brightness+0.5*contrast)")(images=images).values)


@pytest.mark.parametrize("spec", ["http://host:1", "http://host:1/", "http://a:1/ocr,b:1/ocr", "unix:ocr", "http:///ocr"])
def test_addresses_that_are_none(spec):
    with pytest.raises(SpecError, match="is no address of a reward; write http://HOST:PORT/NAME"):
        reward_zoo.load(spec)


def test_a_timeout_that_is_none(server, monkeypatch):
    monkeypatch.setenv("LASRO_TIMEOUT", "soon")
    with pytest.raises(SpecError, match="LASRO_TIMEOUT=soon: is not a number of seconds"):
        reward_zoo.load(f"{server.url}/brightness")


def test_a_forked_process_makes_its_own_connections(server, monkeypatch):
    place = endpoint.Endpoint(f"{server.url}/brightness")
    mine = place._client()
    assert place._client() is mine
    monkeypatch.setattr(endpoint.os, "getpid", itertools.repeat(os.getpid() + 1).__next__)
    assert place._client() is not mine


def test_a_reward_that_raises_is_not_asked_again(images):
    slow = Slow()
    with Serving(slow) as server, pytest.raises(RewardFailedError, match="500: slow: the reward raised ValueError") as caught:
        reward_zoo.load(f"{server.url}/slow")(images=images, prompts="raise")
    assert isinstance(caught.value, RewardError)
    assert len(slow.batches) == 1
