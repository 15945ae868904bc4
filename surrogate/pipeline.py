"""Two stages of work that overlap: the next item is made while what was made before is judged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item, Made, Judged = TypeVar("Item"), TypeVar("Made"), TypeVar("Judged")
AHEAD = 1


def overlap(
    items: Iterable[Item],
    make: Callable[[Item], Made],
    judge: Callable[[Made], Judged],
    keep: Callable[[Item, Judged], None],
    *,
    ahead: int = AHEAD,
) -> None:
    """`keep(item, judge(make(item)))` for every item, with the results of that loop; `judge` runs in a thread beside `make`.

    At most `ahead` items are made and not judged; with 0, one stage waits for the other.
    `make` and `keep` are called here, `judge` one at a time, all in the items' order. An error of `make` is raised once what
    was made before it is kept, an error of `judge` when its item's turn comes: what a loop would have kept is kept.
    Ctrl-C ends it when the running call of `judge` returns.
    """
    waiting: deque[tuple[Item, Future[Judged]]] = deque()

    def settle(most: int) -> None:
        """Keep what is judged, waiting until at most `most` items are not."""
        while len(waiting) > most or (waiting and waiting[0][1].done()):
            item, future = waiting.popleft()
            keep(item, future.result())

    with ThreadPoolExecutor(1, thread_name_prefix="judge") as thread:
        try:
            for item in items:
                try:
                    made = make(item)
                except Exception:
                    settle(0)
                    raise
                waiting.append((item, thread.submit(judge, made)))
                del made  # held by the thread alone
                settle(ahead)
            settle(0)
        finally:
            for _, future in waiting:
                future.cancel()
