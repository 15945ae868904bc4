"""What does a reward behind a server cost, and what does batching across clients bring?

    python -m benchmarks.serving --clients 4 --requests 500

Client processes ask two servers on loopback, one image a request: one that scores each request by itself, one that scores
together what waits. Beside them the same reward in process. Prints images a second, latencies, images a call, what was
lost, whether every score was the one of the reward in process, and each server's memory before and after.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import httpx
import torch
from PIL import Image, ImageDraw, ImageFont

import reward_zoo
from cli.output import print_json, print_table
from reward_zoo.images import as_images
from reward_zoo.terminal import note

PICTURES, WARM_UP, ALONE = 40, 25, 200  # distinct pictures; requests a client before it counts; calls in process
MODES = {"server, one by one": 1, "server, batching": 32}


def draw(number: int, height: int, width: int) -> torch.Tensor:
    """A word on a coloured ground, 1×3×H×W."""
    word = "".join(chr(ord("A") + (number * step) % 26) for step in (1, 3, 7, 11))
    image = Image.new("RGB", (width, height), (40 + 3 * number, 90, 200 - 3 * number))
    font = ImageFont.load_default(size=height * 0.6)
    ImageDraw.Draw(image).text((width / 2, height / 2), word, fill="white", font=font, anchor="mm")
    return as_images(image)


def client(pipe: Connection, shape: tuple[int, int]) -> None:
    """A client process: told (spec, requests, first picture), it answers with latencies and scores."""
    torch.set_num_threads(1)
    pictures = [draw(number, *shape) for number in range(PICTURES)]
    while job := pipe.recv():
        spec, requests, first = job
        reward, seconds, scores = reward_zoo.load(spec), [], []
        pipe.send("ready")
        pipe.recv()
        for turn in range(requests):
            began = time.perf_counter()
            found = reward(images=pictures[(first + turn) % PICTURES], targets="WORD").values
            seconds.append(time.perf_counter() - began)
            scores.append(found.item())
        pipe.send((seconds, scores))


class Clients:
    """Processes that ask at the same time."""

    def __init__(self, count: int, shape: tuple[int, int]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes = []
        for _ in range(count):
            mine, theirs = context.Pipe()
            context.Process(target=client, args=(theirs, shape), daemon=True).start()
            self.pipes.append(mine)

    def ask(self, spec: str, requests: int) -> tuple[float, list[float], list[tuple[int, float]]]:
        """Seconds that all of them took, latencies, and (picture, score) of every request."""
        firsts = [7 * number for number in range(len(self.pipes))]
        for pipe, first in zip(self.pipes, firsts, strict=True):
            pipe.send((spec, requests, first))
        for step in (lambda pipe: pipe.recv(), lambda pipe: pipe.send("go")):
            for pipe in self.pipes:
                step(pipe)
        began = time.perf_counter()
        answers = [pipe.recv() for pipe in self.pipes]
        took = time.perf_counter() - began
        scores = [
            ((first + turn) % PICTURES, score)
            for first, (_, found) in zip(firsts, answers, strict=True)
            for turn, score in enumerate(found)
        ]
        return took, [second for seconds, _ in answers for second in seconds], scores

    def close(self) -> None:
        """End them."""
        for pipe in self.pipes:
            pipe.send(None)


@contextmanager
def server(rewards: Sequence[str], max_batch: int) -> Iterator[str]:
    """A server process; its address."""
    command = [sys.executable, "-m", "cli", "serve", "--port", "0", "--json", "--max-batch", str(max_batch)]
    for reward in rewards:
        command += ["--reward", reward]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
        try:
            yield json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"]
        finally:
            process.terminate()


def metric(url: str, name: str) -> float:
    """One number of /metrics."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ") or line.startswith(name + "{")), 0.0)


def row(reward: str, mode: str, took: float, seconds: list[float], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """One line of the table."""
    ordered = sorted(seconds)
    quantiles = {f"p{share}_ms": 1000 * ordered[len(ordered) * share // 100] for share in (50, 99)}
    return {"reward": reward, "mode": mode, "images_a_second": len(seconds) / took, **quantiles, **more}


def in_process(
    reward: str, pictures: list[torch.Tensor], calls: int, together: int
) -> tuple[list[dict[str, Any]], list[float]]:
    """The reward without a server, one picture a call and several; and its scores of the pictures."""
    loaded, found = reward_zoo.load(reward), []
    scores = [loaded(images=picture, targets="WORD").values.item() for picture in pictures]
    for count in (1, together):
        seconds, batch = [], torch.cat(pictures[:count])
        for _ in range(calls // count):
            began = time.perf_counter()
            loaded(images=batch, targets="WORD")
            seconds.append(time.perf_counter() - began)
        found.append(row(reward, "in process", sum(seconds) / count, seconds, images_a_call=float(count)))
    return found, scores


def served(clients: Clients, url: str, reward: str, mode: str, requests: int, want: list[float]) -> dict[str, Any]:
    """One reward of one server."""
    note(f"{reward}: {mode}")
    spec = f"{url}/{reward.partition(':')[0]}"
    clients.ask(spec, WARM_UP)
    before, label = metric(url, "process_resident_memory_bytes"), f'{{reward="{reward.partition(":")[0]}"}}'
    counted = [metric(url, f"lasro_batch_images_{part}{label}") for part in ("sum", "count")]
    took, seconds, scores = clients.ask(spec, requests)
    after = metric(url, "process_resident_memory_bytes")
    counted += [metric(url, f"lasro_batch_images_{part}{label}") for part in ("sum", "count")]
    images, calls = counted[2] - counted[0], counted[3] - counted[1]
    return row(
        reward,
        mode,
        took,
        seconds,
        images_a_call=images / calls,
        lost=len(clients.pipes) * requests - sum(score == score for _, score in scores),
        different=sum(score != want[picture] for picture, score in scores),
        memory_mb=after / 2**20,
        memory_growth=after / before - 1,
    )


def main() -> None:
    """Ask, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--requests", type=int, default=500, help="of each client")
    parser.add_argument("--rewards", nargs="+", default=["ocr", "artifact_guard"])
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    shape = given.height, given.width
    pictures = [draw(number, *shape) for number in range(PICTURES)]
    clients, found = Clients(given.clients, shape), []
    with server(given.rewards, MODES["server, one by one"]) as one, server(given.rewards, MODES["server, batching"]) as many:
        for reward in given.rewards:
            alone, want = in_process(reward, pictures, min(ALONE, given.clients * given.requests), given.clients)
            found += alone
            for mode, url in zip(MODES, (one, many), strict=True):
                found.append(served(clients, url, reward, mode, given.requests, want))
    clients.close()
    if given.json:
        print_json(found)
        return
    heads = ("reward", "", "images/s", "p50 ms", "p99 ms", "images a call", "lost", "different", "MB", "growth")
    numbers = ("{images_a_second:.0f}", "{p50_ms:.1f}", "{p99_ms:.1f}", "{images_a_call:.2f}")
    print_table(heads, [cells(one, numbers) for one in found])
    for reward in given.rewards:
        single, batched = (one["images_a_second"] for one in found if one["reward"] == reward and "lost" in one)
        print(f"{reward}: batching scores {batched / single:.2f} times as many images as one by one")


def cells(found: dict[str, Any], numbers: Sequence[str]) -> list[str]:
    """A row of the table."""
    start = [found["reward"], found["mode"], *(number.format(**found) for number in numbers)]
    if "lost" not in found:
        return [*start, "–", "–", "–", "–"]
    return [
        *start,
        *map(str, (found["lost"], found["different"])),
        "{memory_mb:.0f}".format(**found),
        f"{found['memory_growth']:+.1%}",
    ]


if __name__ == "__main__":
    main()
