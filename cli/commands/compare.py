"""`lasro compare`: ask, write down, sum up."""

from __future__ import annotations

import threading
import webbrowser
from typing import TYPE_CHECKING, Any

from cli.compare.pairs import Pair, find_pairs, two_folders
from cli.compare.votes import Votes, summarise
from cli.output import print_json, print_lines
from reward_zoo.errors import SpecError
from reward_zoo.terminal import note

if TYPE_CHECKING:
    from cli.generate_app import CompareSettings


def compare(settings: CompareSettings) -> None:
    """Serve the page until every pair is answered, then print what the votes say."""
    if settings.max_pairs is not None and settings.max_pairs < 1:
        raise SpecError(f"--max-pairs {settings.max_pairs}: must be at least 1")
    a, b = two_folders(settings.folders)
    held = Votes(settings.votes, a, b)
    if not settings.summary:
        pairs = find_pairs(a, b, seed=settings.seed, voter=settings.voter, max_pairs=settings.max_pairs)
        _ask(pairs, held, settings)
    result = {**summarise(held.held), "folders": {"a": str(a), "b": str(b)}, "file": str(settings.votes)}
    print_json(result) if settings.json else print_lines(_in_words(result))


def _ask(pairs: list[Pair], held: Votes, settings: CompareSettings) -> None:
    from cli.compare.server import VotingServer

    left = len(pairs) - len(held.done(settings.voter) & {pair.name for pair in pairs})
    if not left:
        note(f"{settings.voter} has answered all {len(pairs)} pairs")
        return
    with VotingServer(pairs, held, settings.voter, port=settings.port) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        note(f"{left} of {len(pairs)} pairs to answer: {server.address}")
        note("keys: 1 left, 2 right, 0 neither; Ctrl-C to leave, votes are kept")
        if settings.browser:
            webbrowser.open(server.address)
        while not server.finished.wait(0.2):  # in small waits, so that Ctrl-C is heard everywhere
            pass
        server.shutdown()


def _in_words(result: dict[str, Any]) -> list[str]:
    a, b = result["folders"]["a"], result["folders"]["b"]
    lines = [f"A: {a}", f"B: {b}", f"{result['votes']} votes: A {result['a']}, B {result['b']}, neither {result['tie']}"]
    if result["b_preferred"] is None:
        return [*lines, "no decided vote yet"]
    low, high = result["ci95"]
    told = "B is better" if low > 0.5 else "A is better" if high < 0.5 else "no difference shown"
    share = f"B preferred in {result['b_preferred']:.0%} of the decided votes (95 % interval {low:.0%} to {high:.0%})"
    return [*lines, f"{share}: {told}"]
