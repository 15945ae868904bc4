"""Two overlapping stages do what a loop does, sooner."""

import threading

import pytest

from surrogate.pipeline import overlap

WAIT = 20  # seconds, of a test that would hang


def test_results_are_kept_in_order():
    kept = []
    overlap(range(7), lambda item: item * 10, lambda made: made + 1, lambda item, judged: kept.append((item, judged)))
    assert kept == [(item, 10 * item + 1) for item in range(7)]


def test_the_next_is_made_while_one_is_judged():
    begun = [threading.Event() for _ in range(3)]

    def make(item):
        begun[item].set()
        return item

    def judge(made):
        assert made == 2 or begun[made + 1].wait(WAIT)  # a loop would never make the next
        return made

    overlap(range(3), make, judge, lambda item, judged: None)


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_no_more_than_some_are_ahead(ahead):
    made, judged, most = [], [], []
    gate = threading.Semaphore(0)

    def make(item):
        made.append(item)
        most.append(len(made) - len(judged))
        gate.release()
        return item

    def judge(item):
        assert gate.acquire(timeout=WAIT)
        return item

    overlap(range(9), make, judge, lambda item, _: judged.append(item), ahead=ahead)
    assert max(most) <= ahead + 1
    assert judged == list(range(9))


def test_an_error_of_the_judge_comes_out_as_itself_and_ends_the_maker():
    made, kept = [], []

    def judge(item):
        if item == 2:
            raise ZeroDivisionError("the judge's own")
        return item

    with pytest.raises(ZeroDivisionError, match="the judge's own"):
        overlap(range(100), lambda item: made.append(item) or item, judge, lambda item, _: kept.append(item))
    assert kept == [0, 1]
    assert len(made) <= 2 + 3  # one is made, two wait


def test_what_was_made_before_an_error_of_the_maker_is_kept():
    kept = []

    def make(item):
        if item == 3:
            raise ZeroDivisionError("the maker's own")
        return item

    with pytest.raises(ZeroDivisionError, match="the maker's own"):
        overlap(range(5), make, lambda item: item, lambda item, _: kept.append(item))
    assert kept == [0, 1, 2]


def test_ctrl_c_ends_it_and_judges_no_more():
    judged, entered = [], threading.Event()

    def make(item):
        if item == 2:
            assert entered.wait(WAIT)
            raise KeyboardInterrupt
        return item

    def judge(item):
        entered.set()
        judged.append(item)

    with pytest.raises(KeyboardInterrupt):
        overlap(range(5), make, judge, lambda *_: None)
    assert 2 not in judged
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("judge")]
