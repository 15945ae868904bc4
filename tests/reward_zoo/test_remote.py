"""A reward behind a server scores as it does here, and says what is wrong with the server."""

import json

import pytest
import torch

import reward_zoo
from reward_zoo.errors import NotDifferentiableError, ProtocolError, RewardFailedError, UnknownRewardError
from reward_zoo.reward import RewardInputs
from reward_zoo.serving import client
from reward_zoo.serving.protocol import decode_question, encode_question
from reward_zoo.serving.question import Question
from tests.tiny.server import Server

NAN = '''
def light(images):
    """Fails on one."""
    values = images.mean((1, 2, 3))
    values[1] = float("nan")
    return values
'''


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "FIRST_WAIT", 0.001)
    (tmp_path / "own.py").write_text(NAN)
    server = Server("ocr", "brightness", "color_target", f"{tmp_path / 'own.py'}:light")
    yield server
    server.close()


@pytest.mark.parametrize(
    ("name", "given"), [("ocr", {"prompts": 'a "sign"'}), ("brightness", {}), ("color_target", {"targets": ["red"] * 4})]
)
def test_the_score_is_the_same_to_the_bit(server, images, name, given):
    here, there = (reward_zoo.load(spec)(images=images, **given) for spec in (name, f"{server.url}/{name}"))
    assert torch.equal(here.values, there.values)
    assert here.perceived == there.perceived
    assert {key: part.tolist() for key, part in here.components.items()} == {
        key: part.tolist() for key, part in there.components.items()
    }


def test_the_card_is_the_servers_without_the_gradient(server, images):
    reward = reward_zoo.load(f"{server.url}/brightness")
    own = reward_zoo.load("brightness").card
    assert (reward.card.name, reward.card.summary, reward.card.range) == (own.name, own.summary, own.range)
    with pytest.raises(NotDifferentiableError):
        reward(images=images.requires_grad_(True))


def test_a_failed_item_stays_failed(server, images):
    scores = reward_zoo.load(f"{server.url}/light")(images=images)
    assert scores.valid.tolist() == [True, False, True, True]


def test_it_takes_part_in_composites(server, images):
    both = reward_zoo.load(f"raw(0.5*{server.url}/brightness+0.5*contrast)")(images=images).values
    alone = [reward_zoo.load(name)(images=images).values for name in ("brightness", "contrast")]
    assert torch.allclose(both, (alone[0] + alone[1]) / 2)


def test_a_busy_server_is_asked_again(server, images):
    reward = reward_zoo.load(f"{server.url}/brightness")
    server.faults = [(503, b"busy", "1"), (502, b"", None)]
    assert reward(images=images).valid.all()
    server.faults = [(503, b"busy", "1")] * client.TRIES
    with pytest.raises(RewardFailedError, match=rf"{server.url}/score: no answer after 6 tries \(it answered 503\)"):
        reward(images=images)


def test_a_dead_server_is_named(server, images):
    reward = reward_zoo.load(f"{server.url}/brightness")
    server.close()
    with pytest.raises(RewardFailedError, match=r"no answer after 6 tries .*start the server, or mend the address"):
        reward(images=images)


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ((200, b"{}", "2"), ProtocolError, "speaks protocol 2, not 1"),
        ((200, b"{}", None), ProtocolError, "speaks protocol none"),
        ((200, b"<html>", "1"), ProtocolError, "the answer is not one of scores"),
        ((200, b'{"values": [1], "components": {}, "perceived": null}', "1"), ProtocolError, "1 numbers for 4 images"),
        ((413, json.dumps({"error": "too many images"}).encode(), "1"), RewardFailedError, "413: too many images"),
        ((500, b"it broke", "1"), RewardFailedError, "500: it broke"),
        ((401, b"", "1"), RewardFailedError, "set LASRO_TOKEN"),
    ],
)
def test_a_bad_answer_is_named(server, images, fault, error, message):
    reward = reward_zoo.load(f"{server.url}/brightness")
    server.faults = [fault]
    with pytest.raises(error, match=message):
        reward(images=images)


def test_no_such_reward_and_no_such_server(server):
    with pytest.raises(UnknownRewardError, match="serves no reward 'brigthness'; did you mean 'brightness'"):
        reward_zoo.load(f"{server.url}/brigthness")
    server.faults = [(200, b'{"not": "cards"}', "1")]
    with pytest.raises(ProtocolError, match="is that a lasro server"):
        reward_zoo.load(f"{server.url}/brightness")


def test_the_token_goes_along(server, images, monkeypatch):
    monkeypatch.setenv("LASRO_TOKEN", "secret")
    reward_zoo.load(f"{server.url}/brightness")(images=images)
    assert all(headers["Authorization"] == "Bearer secret" for headers in server.seen)


def test_a_request_comes_back_as_it_went(images):
    inputs = RewardInputs(images, prompts=["a", "ü", "汉", ""], metadata=[{"n": 1}, {}, {}, {}], references=images[..., :8])
    body = encode_question(Question.of("geneval", inputs))
    question = decode_question(body)
    assert question.reward == "geneval"
    assert torch.equal(question.tensors["images"], images)
    assert torch.equal(question.tensors["references"], images[..., :8])
    assert question.lists == {"prompts": inputs.prompts, "metadata": inputs.metadata}
    for none in (b"", b"pickle", b"\x00" * 64, body[:-7]):
        with pytest.raises(ProtocolError, match="no safetensors body"):
            decode_question(none)


def test_eight_bit_pictures_travel_as_bytes(images):
    pictures = torch.arange(256, dtype=torch.uint8).repeat(3)[:768].reshape(1, 3, 16, 16).float() / 255
    assert Question.of("x", RewardInputs(pictures)).tensors["images"].dtype == torch.uint8
    assert Question.of("x", RewardInputs(images)).tensors["images"].dtype == torch.float32
    bodies = [encode_question(Question.of("x", RewardInputs(one))) for one in (pictures, pictures * 0.999)]
    assert len(bodies[0]) < len(bodies[1]) / 2
