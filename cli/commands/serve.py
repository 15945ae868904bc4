"""`lasro serve`: load rewards, listen, say where, serve."""

from __future__ import annotations

import os
import re
from pathlib import Path

import reward_zoo
from cli.output import print_json
from reward_zoo.errors import ServingError
from reward_zoo.reward import Reward
from reward_zoo.serving.config import ServeConfig, check_packages
from reward_zoo.terminal import note

_NAMED = re.compile(r"([A-Za-z_][\w.-]*)=(.+)", re.DOTALL)


def serve(
    specs: list[str],
    *,
    host: str,
    port: int,
    unix: Path | None,
    token_from: str | None,
    token_file: Path | None,
    config: ServeConfig,
    as_json: bool,
) -> None:
    """Serve until a signal."""
    check_packages("lasro serve")
    token = _token(token_from, token_file)
    from reward_zoo.serving.running import address_of, beyond_this_machine, listen, listen_unix, log_to_stderr, run
    from reward_zoo.serving.server import create_app

    with listen_unix(unix) if unix else listen(host, port) as listening:  # first: an address that is taken costs no loading
        address = address_of(listening)
        if beyond_this_machine(listening):
            note(f"warning: --host {host}: others can reach this server; {_danger(token)}")
        rewards = load_named(specs)
        app = create_app(rewards, config, token=token)
        log_to_stderr()
        for name in rewards:
            note(f"serving {address}/{name}")
        if as_json:
            print_json({"url": address, "rewards": {name: f"{address}/{name}" for name in rewards}})
        run(app, listening, config.stop_timeout)
    note("stopped; everything that was accepted is answered")


def load_named(specs: list[str]) -> dict[str, Reward]:
    """The rewards by the names they are served under: NAME=SPEC, or a card's own.

    Raises:
        ServingError: a name is taken twice, or cannot stand in an address.
    """
    rewards: dict[str, Reward] = {}
    for text in specs:
        given = _NAMED.fullmatch(text)
        reward = reward_zoo.load(given.group(2) if given else text)
        name = given.group(1) if given else reward.card.name
        if not re.fullmatch(r"[\w.-]+", name):
            raise ServingError(f"--reward {text}: {name!r} cannot stand in an address; give it a name: --reward mine={text}")
        if name in rewards:
            raise ServingError(f"--reward {text}: {name!r} is served already; give it another name: --reward mine={text}")
        rewards[name] = reward
    return rewards


def _token(variable: str | None, file: Path | None) -> str | None:
    if variable is None and file is None:
        return None
    if variable is not None and file is not None:
        raise ServingError("--token-from and --token-file: give one of them")
    if variable is not None:
        token, where = os.environ.get(variable, ""), f"--token-from {variable}: the variable"
    else:
        try:
            token, where = file.read_text(), f"--token-file {file}: the file"
        except (OSError, UnicodeError) as error:
            raise ServingError(f"--token-file {file}: {error}") from error
    if not token.strip():
        raise ServingError(f"{where} is empty; put a long random text there")
    return token.strip()


def _danger(token: str | None) -> str:
    if token is None:
        return "anybody there may use it: give --token-file, or --host 127.0.0.1"
    return "token and pictures travel in the clear: put TLS in front"
