"""The server's routes: the same scores as in process, and a reason for whatever it refuses."""

import base64
import io
import json
import pickle
import threading

import httpx
import pytest
import torch
from PIL import Image

import reward_zoo
from reward_zoo.errors import MissingInputError, RewardError, RewardFailedError, UnknownRewardError
from reward_zoo.images import as_images
from reward_zoo.reward import RewardInputs
from reward_zoo.serving import client
from reward_zoo.serving.protocol import HEADER, SAFETENSORS, encode_question
from reward_zoo.serving.question import Question
from tests.tiny.serving import Serving, Slow, until

SPECS = ("ocr", "brightness")


@pytest.fixture(scope="module")
def url():
    with Serving(*SPECS, max_images=60) as server:
        yield server.url


def as_json(reward="brightness", count=1, file_format="PNG", **more):
    image = Image.frombytes("RGB", (6, 4), bytes(range(72)))
    file = io.BytesIO()
    image.save(file, file_format, lossless=True)
    return {"reward": reward, "images": [base64.b64encode(file.getvalue()).decode()] * count, **more}, image


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_pictures_come_as_lossless_files_too(url, file_format):
    body, image = as_json(file_format=file_format, count=2)
    answer = httpx.post(f"{url}/score", json=body)
    want = reward_zoo.load("brightness")(images=as_images([image, image])).values.tolist()
    assert answer.json() == {"values": want, "valid": [True] * 2, "errors": [None] * 2, "components": {}, "perceived": None}
    assert answer.headers[HEADER] == "1"


def test_a_picture_that_cannot_be_read_fails_alone(url):
    body, _ = as_json("ocr", 4, prompts=['"A"', '"B"', '"C"', '"D"'])
    body["images"][1], body["images"][2] = "AAAA", "?"
    answer = httpx.post(f"{url}/score", json=body).json()
    assert answer["valid"] == [True, False, False, True]
    assert answer["values"][1] is None
    assert answer["components"]["exact"][2] is None
    assert answer["errors"] == [None, "not a PNG or WebP picture", answer["errors"][2], None]
    assert "base64" in answer["errors"][2]
    body["images"] = ["AAAA"] * 4
    assert httpx.post(f"{url}/score", json=body).json()["valid"] == [False] * 4


def test_an_item_without_a_score_says_so(tmp_path, images):
    (tmp_path / "own.py").write_text("def some(images):\n    return [1.0, float('nan'), 2.0, float('inf')]\n")
    with Serving(f"{tmp_path / 'own.py'}:some") as server:
        body = encode_question(Question.of("some", RewardInputs(images)))
        answer = httpx.post(f"{server.url}/score", content=body, headers={"Content-Type": SAFETENSORS}).json()
        assert answer["values"] == [1.0, None, 2.0, None]
        assert answer["valid"] == [True, False, True, False]
        assert answer["errors"] == [None, "the reward gave no score"] * 2
        assert reward_zoo.load(f"{server.url}/some")(images=images).valid.tolist() == [True, False, True, False]


class Latent(Slow):
    def score_latents(self, *, latents, prompts):
        return reward_zoo.Scores(latents.mean((1, 2, 3)) + len(prompts[0]))


def test_latents_are_scored_by_rewards_that_read_them(url):
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with Serving(Latent()) as server:
        got = reward_zoo.load(f"{server.url}/slow").score_latents(latents=latents, prompts=["ab"] * 3)
    assert torch.equal(got.values, latents.mean((1, 2, 3)) + 2)
    with pytest.raises(RewardError, match="brightness: takes images, not latents"):
        reward_zoo.load(f"{url}/brightness").score_latents(latents=latents, prompts=None)


def test_mistakes_are_the_same_class_as_in_process(url, images):
    with pytest.raises(MissingInputError, match="422: ocr: the prompt 'no quotes' quotes no text"):
        reward_zoo.load(f"{url}/ocr")(images=images, prompts="no quotes")
    with pytest.raises(UnknownRewardError, match="did you mean 'brightness'"):
        reward_zoo.load(f"{url}/brigthness")


PICKLE = {"content": pickle.dumps({"images": [1]})}
REFUSED = {
    "a pickle": (PICKLE | {"headers": {"Content-Type": "application/x-pickle"}}, 415, "Pickle is never read"),
    "a body without a type": (PICKLE, 415, "a body without Content-Type is not read"),
    "a pickle that says safetensors": (PICKLE | {"headers": {"Content-Type": SAFETENSORS}}, 422, "no safetensors body"),
    "no JSON": ({"content": "{", "headers": {"Content-Type": "application/json"}}, 422, "not as /docs says: Invalid JSON"),
    "an unknown field": ({"json": as_json(mode="exact")[0]}, 422, "mode: Extra inputs"),
    "no pictures": ({"json": {"reward": "ocr", "images": []}}, 422, "images: List should have at least 1"),
    "another reward": ({"json": as_json("brigthness")[0]}, 404, "did you mean 'brightness'"),
    "too few prompts": ({"json": as_json("ocr", 3, prompts=["a", "b"])[0]}, 422, "prompts: 2 given for 3 images"),
    "too few records": ({"json": as_json("ocr", 3, metadata=[{}])[0]}, 422, "metadata: 1 given for 3"),
    "too many pictures": ({"json": as_json(count=61)[0]}, 422, "61 images are more than the 60"),
    "another version": ({"json": as_json()[0], "headers": {HEADER: "2"}}, 400, "speaks protocol 1, not 2"),
    "a missing prompt": ({"json": as_json("ocr")[0]}, 422, "ocr: needs targets"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_and_why(url, kind):
    request, status, reason = REFUSED[kind]
    answer = httpx.post(f"{url}/score", **request)
    assert answer.status_code == status
    assert reason in answer.json()["error"]
    assert answer.headers[HEADER] == "1"


def test_what_is_too_large_is_refused_before_it_is_unpacked(images):
    with Serving("brightness", max_body_mb=0.01) as server:
        reward = reward_zoo.load(f"{server.url}/brightness")
        with pytest.raises(RewardFailedError, match=r"413: the body is larger than the 0.01 MB that are taken"):
            reward(images=images)
        chunks = (b"x" * 4096 for _ in range(16))  # of a length that is not declared
        answer = httpx.post(f"{server.url}/score", content=chunks, headers={"Content-Type": SAFETENSORS})
        assert answer.status_code == 413
        file = io.BytesIO()
        Image.new("RGB", (500, 500)).save(file, "PNG")  # a small file that unpacks to 3 MB
        bomb = {"reward": "brightness", "images": [base64.b64encode(file.getvalue()).decode()]}
        answer = httpx.post(f"{server.url}/score", json=bomb)
        assert (answer.status_code, "unpack to more than 41,940 bytes" in answer.text) == (422, True)
        assert reward(images=images[:1, :, :16, :16]).valid.all()


def test_a_token_is_asked_for(images, monkeypatch):
    with Serving("brightness", token="secret") as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
            for method, path in (("GET", "/rewards"), ("POST", "/score"), ("GET", "/metrics")):
                answer = httpx.request(method, server.url + path, headers=headers)
                assert (answer.status_code, "Authorization: Bearer" in answer.json()["error"]) == (401, True)
        assert httpx.get(f"{server.url}/health").status_code == 200
        with pytest.raises(RewardFailedError, match="set LASRO_TOKEN"):
            reward_zoo.load(f"{server.url}/brightness")
        monkeypatch.setenv("LASRO_TOKEN", "secret")
        assert reward_zoo.load(f"{server.url}/brightness")(images=images).valid.all()


def test_a_full_queue_says_when_to_come_back(images, monkeypatch):
    slow = Slow()
    with Serving(slow, max_queue=2) as server:
        reward = reward_zoo.load(f"{server.url}/slow")
        slow.release.clear()
        threads = [threading.Thread(target=reward, kwargs={"images": images}) for _ in range(2)]
        for thread in threads:
            thread.start()
        until(lambda: httpx.get(f"{server.url}/health").json()["waiting"] == 2)
        body = encode_question(Question.of("slow", RewardInputs(images)))
        answer = httpx.post(f"{server.url}/score", content=body, headers={"Content-Type": SAFETENSORS})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "2 requests wait already" in answer.json()["error"]
        monkeypatch.setenv("LASRO_TIMEOUT", "0.2")
        with pytest.raises(RewardFailedError, match=r"no answer within 0.2 s \(it answered 503"):
            reward(images=images)
        monkeypatch.delenv("LASRO_TIMEOUT")
        monkeypatch.setattr(client.random, "random", lambda: -0.45)  # come back sooner than told
        threads.append(threading.Thread(target=slow.release.set))
        threads[-1].start()
        assert reward(images=images).valid.all()
        for thread in threads:
            thread.join(10)


def test_a_reward_that_takes_too_long_is_given_up_on(images):
    slow = Slow()
    with Serving(slow, timeout=0.1) as server:
        slow.release.clear()
        body = encode_question(Question.of("slow", RewardInputs(images)))
        answer = httpx.post(f"{server.url}/score", content=body, headers={"Content-Type": SAFETENSORS})
        assert (answer.status_code, answer.json()["error"]) == (504, "no scores within 0.1 s; send less at once")
        slow.release.set()
        assert httpx.get(f"{server.url}/health").json()["waiting"] == 0


def test_stopping_finishes_what_was_accepted(images):
    slow = Slow()
    server = Serving(slow)
    reward, found = reward_zoo.load(f"{server.url}/slow"), []
    slow.release.clear()
    asking = threading.Thread(target=lambda: found.append(reward(images=images)))
    asking.start()
    until(lambda: slow.batches)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    until(lambda: not server.server.servers or not server.server.servers[0].is_serving())
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.url}/health")
    slow.release.set()
    for thread in (asking, stopping):
        thread.join(10)
    assert torch.equal(found[0].values, images.mean((1, 2, 3)))
    assert not server.thread.is_alive()


def test_what_it_says_of_itself(url, caplog):
    health = httpx.get(f"{url}/health").json()
    assert (health["status"], health["protocol"], health["rewards"]) == ("ok", "1", list(SPECS))
    cards = {card["name"]: card for card in httpx.get(f"{url}/rewards").json()}
    assert cards["ocr"] == json.loads(json.dumps(reward_zoo.load("ocr").card.as_dict()))
    assert httpx.get(f"{url}/docs").status_code == 200
    assert httpx.get(f"{url}/nothing").json() == {"error": "Not Found", "kind": ""}
    page = httpx.get(f"{url}/openapi.json").json()
    assert set(page["paths"]) == {"/health", "/rewards", "/score", "/metrics"}
    assert set(page["paths"]["/score"]["post"]["requestBody"]["content"]) == {"application/json", SAFETENSORS}
    assert {"413", "422", "503"} <= set(page["paths"]["/score"]["post"]["responses"])


def test_it_counts_and_logs_without_contents(url, caplog):
    before = httpx.get(f"{url}/metrics").text
    with caplog.at_level("INFO", "lasro.serve"):
        httpx.post(f"{url}/score", json=as_json("ocr", 2, prompts='a "secret"')[0])
        httpx.post(f"{url}/score", json=as_json("ocr", 2, prompts="a secret")[0])
    lines = [record.facts for record in caplog.records]
    assert [line["status"] for line in lines] == [200, 422]
    assert lines[0].items() >= {"reward": "ocr", "images": 2, "size": "4×6", "batch": 2}.items()
    assert "secret" not in str(lines)
    after = httpx.get(f"{url}/metrics").text
    for name in ('lasro_requests_total{reward="ocr",status="200"}', 'lasro_images_total{reward="ocr"}'):
        assert value(after, name) > value(before, name)
    assert value(after, "process_resident_memory_bytes") > 0


def value(page, name):
    return next((float(line.split()[-1]) for line in page.splitlines() if line.startswith(name)), 0.0)
