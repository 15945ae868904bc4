"""A judge behind an OpenAI-compatible endpoint, here one on loopback that judges by brightness."""

import pytest
import torch

import reward_zoo
from reward_zoo.errors import RewardFailedError, SpecError
from reward_zoo.rewards.judge import share_of_yes
from tests.tiny.judge import Endpoint

LIGHT = torch.stack([torch.full((3, 8, 8), value) for value in (0.0, 0.2, 1.0)])


@pytest.fixture
def endpoint():
    return Endpoint()


def test_a_score_is_read_from_the_answer(endpoint):
    found = reward_zoo.load(f"vlm_judge:base_url={endpoint.url},model=qwen")(images=LIGHT, prompts="a lamp")
    assert found.values.tolist() == pytest.approx([0.2, 0.36, 1.0], abs=1e-3)
    assert found.perceived[2] == "Score: 5.000"
    body = endpoint.bodies[0]
    assert body["model"] == "qwen"
    assert "a lamp" in body["messages"][0]["content"][1]["text"]


def test_p_yes_is_read_from_the_first_token(endpoint):
    found = reward_zoo.load(f"vlm_judge:base_url={endpoint.url},answer=yes")(images=LIGHT, prompts="a lamp")
    assert found.values.tolist() == pytest.approx([0.0, 0.2, 1.0], abs=1e-6)
    assert endpoint.bodies[0]["max_tokens"] == 1
    assert share_of_yes([{"token": "Maybe", "logprob": 0.0}]) != share_of_yes([{"token": "yes", "logprob": 0.0}])


def test_unified_reward_means_its_three_scores(endpoint):
    found = reward_zoo.load(f"unified_reward:base_url={endpoint.url}")(images=LIGHT, prompts="a lamp")
    assert found.values.tolist() == pytest.approx([(1 + 4 * light + 6) / 15 for light in (0.0, 0.2, 1.0)], abs=1e-3)


def test_an_item_without_an_answer_is_invalid_and_the_rest_stand(endpoint):
    prompts = ["a lamp", "garbage", "refuse"]
    found = reward_zoo.load(f"vlm_judge:base_url={endpoint.url}")(images=LIGHT, prompts=prompts)
    assert found.valid.tolist() == [True, False, False]
    assert "400" in found.perceived[2]


def test_answers_without_a_score_are_no_failure_of_the_endpoint(endpoint):
    found = reward_zoo.load(f"vlm_judge:base_url={endpoint.url}")(images=LIGHT[:2], prompts="garbage")
    assert not found.valid.any()
    assert all(found.perceived)


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("Score: 4", 0.8),
        ("score: **4.5**", 0.9),
        ("My score: 4.", 0.8),
        ("Score: 5.0/5", 1.0),
        ("Alignment Score (1-5): 2\nStyle Score (1-5): 3", 0.5),
        ("Score: 10", None),
        ("Score: 4/10", None),
        ("Score: 5.5", None),
        ("Score: 45", None),
        ("Score: 0", None),
    ],
)
def test_only_numbers_from_1_to_5_are_scores(said, score):
    found = reward_zoo.load("vlm_judge").read(said)
    assert found == pytest.approx(score) if score else found != found


def test_a_busy_endpoint_is_asked_again(endpoint):
    reward = reward_zoo.load(f"vlm_judge:base_url={endpoint.url}")
    assert reward(images=LIGHT[:1], prompts="flaky").valid.all()
    assert endpoint.failures == 2


def test_a_dead_endpoint_is_a_named_error():
    reward = reward_zoo.load("vlm_judge:base_url=http://127.0.0.1:9,retries=0")
    with pytest.raises(RewardFailedError, match=r"127\.0\.0\.1:9/chat/completions gave no answer .*check base_url"):
        reward(images=LIGHT, prompts="a lamp")


def test_settings_are_checked():
    with pytest.raises(SpecError, match="concurrency=0"):
        reward_zoo.load("vlm_judge:concurrency=0")
    with pytest.raises(SpecError, match="answer='maybe'"):
        reward_zoo.load("vlm_judge:answer=maybe")


def test_the_key_comes_from_the_environment_and_never_from_the_spec(endpoint, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    reward = reward_zoo.load(f"vlm_judge:base_url={endpoint.url},api_key_variable=MY_KEY")
    assert reward.key == "secret"
    assert "secret" not in str(reward.card)
