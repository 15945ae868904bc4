"""Questions of many clients are scored together where they may be, and nobody pays for another."""

import threading
from dataclasses import replace

import pytest
import torch

import reward_zoo
from reward_zoo.errors import RewardFailedError
from reward_zoo.reward import RewardInputs
from reward_zoo.serving.batching import Batcher
from reward_zoo.serving.question import Question
from tests.tiny.serving import Slow, until


def asked(count, size=(8, 8), seed=0, **lists):
    images = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))
    return Question.of("slow", RewardInputs(images, **lists))


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def submit(slow):
    """Submits all questions while the reward is held up by one before them, then lets it go."""
    batcher = Batcher(slow, max_batch=8, max_wait=0.0)

    def run(*questions):
        slow.release.clear()
        first = batcher.submit(asked(1))
        until(lambda: slow.batches)
        futures = [batcher.submit(question) for question in questions]
        slow.release.set()
        first.result(10)
        return futures

    yield run
    batcher.close(10)


def test_what_waits_is_scored_at_once_and_everybody_gets_their_own(slow, submit):
    questions = [asked(count, seed=count) for count in (1, 3, 2)]
    found = [future.result(10) for future in submit(*questions)]
    assert [shape[0] for shape in slow.batches] == [1, 6]
    assert [outcome.batch for outcome in found] == [6, 6, 6]
    for question, outcome in zip(questions, found, strict=True):
        assert torch.equal(outcome.scores.values, question.tensors["images"].mean((1, 2, 3)))
    assert len(slow.threads) == 1


def test_sizes_and_given_lists_are_kept_apart_and_the_oldest_goes_first(slow, submit):
    questions = [asked(1, (8, 8)), asked(1, (8, 9)), asked(2, (8, 8)), asked(1, (8, 8), prompts=["a"]), asked(1, (8, 9))]
    for future in submit(*questions):
        assert future.result(10).scores.valid.all()
    assert slow.batches[1:] == [(3, 3, 8, 8), (2, 3, 8, 9), (1, 3, 8, 8)]


def test_a_batch_is_no_larger_than_allowed_but_a_question_stays_whole(slow, submit):
    for future in submit(asked(5), asked(3), asked(1), asked(20), asked(2)):
        future.result(10)
    assert [shape[0] for shape in slow.batches] == [1, 8, 1, 20, 2]


def test_a_mistake_is_its_own(slow, submit):
    good, bad, other = submit(*(asked(2, prompts=[text] * 2) for text in ("a", "raise", "b")))
    assert good.result(10).scores.valid.all()
    assert other.result(10).scores.valid.all()
    with pytest.raises(RewardFailedError, match="raised ValueError: as asked"):
        bad.result(10)


def test_what_is_cancelled_is_not_scored(slow, submit):
    slow.seconds = 0.05
    kept, dropped = submit(asked(1, (4, 4)), asked(1, (5, 5)))
    assert dropped.cancel()
    kept.result(10)
    assert (1, 3, 5, 5) not in slow.batches


def test_a_first_question_waits_for_company_and_no_longer():
    batcher = Batcher(Slow(0.2), max_batch=2, max_wait=30.0)
    assert batcher.submit(asked(1)).result(10).waited < 0.1  # nobody knows yet what a call costs
    futures = [batcher.submit(asked(1)), batcher.submit(asked(1))]
    assert [future.result(10).batch for future in futures] == [2, 2]
    alone = batcher.submit(asked(1)).result(10)
    assert alone.batch == 1
    assert 0.1 < alone.waited < 2  # about a call, not thirty seconds
    batcher.max_wait = 0.0
    assert batcher.submit(asked(1)).result(10).waited < 0.1
    batcher.close(10)


def test_closing_finishes_what_was_accepted():
    slow = Slow(0.02)
    batcher = Batcher(slow, max_batch=1, max_wait=0.0)
    futures = [batcher.submit(asked(1)) for _ in range(5)]
    batcher.close(10)
    assert all(future.done() and future.result().scores.valid.all() for future in futures)
    with pytest.raises(RewardFailedError, match="stopping"):
        batcher.submit(asked(1))


def test_what_depends_on_its_batch_is_never_mixed(slow):
    slow.card = replace(slow.card, per_image=False)
    slow.release.clear()
    batcher = Batcher(slow, max_batch=8, max_wait=0.0)
    futures = [batcher.submit(asked(count)) for count in (1, 2, 3)]
    slow.release.set()
    assert [future.result(10).batch for future in futures] == [1, 2, 3]
    batcher.close(10)


def test_a_card_says_whether_the_batch_matters():
    specs = {"ocr": True, "raw(brightness+contrast)": True, "rank(brightness+contrast)": False}
    assert {spec: reward_zoo.load(spec).card.per_image for spec in specs} == specs


def test_many_threads_at_once_lose_nothing():
    slow = Slow(0.001)
    batcher = Batcher(slow, max_batch=8, max_wait=0.001)
    found = {}

    def client(number):
        for turn in range(20):
            question = asked(1 + turn % 3, (4, 4 + number % 2), seed=100 * number + turn)
            got = batcher.submit(question).result(10).scores.values
            found[number, turn] = torch.equal(got, question.tensors["images"].mean((1, 2, 3)))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    batcher.close(10)
    assert len(found) == 120
    assert all(found.values())
    assert len(slow.threads) == 1
