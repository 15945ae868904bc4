"""Running the application: where it listens, what it logs, how it stops."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import signal
import socket
import stat
import sys
import threading
import time
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from reward_zoo.errors import ServingError

IDLE_SECONDS = 30  # longer than a client keeps a connection that it does not use


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one.

    Raises:
        ServingError: the address cannot be had.
    """
    if not 0 <= port <= 65535:  # getaddrinfo would take it modulo 65536
        raise ServingError(f"--port {port}: is not from 0 to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named TCP, asyncio does without Nagle's delay
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(address)
            found.listen(128)
        except OSError:
            found.close()
            raise
    except (OSError, UnicodeError) as error:
        raise ServingError(f"--host {host} --port {port}: {error}; choose another, or --port 0 for a free one") from error
    return found


def listen_unix(path: Path) -> socket.socket:
    """A listening Unix socket that only its owner may use; a socket that a dead server left is replaced.

    Raises:
        ServingError: the path is taken, or cannot be had.
    """
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
            path.unlink()
        found = socket.socket(socket.AF_UNIX)
        mask = os.umask(0o177)
        try:
            found.bind(str(path))
            found.listen(128)
        except OSError:
            found.close()
            raise
        finally:
            os.umask(mask)
    except OSError as error:
        raise ServingError(f"--unix {path}: {error}; choose another path") from error
    return found


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def address_of(listening: socket.socket) -> str:
    """What clients write before /NAME."""
    name = listening.getsockname()
    if isinstance(name, str):
        return f"unix:{Path(name).resolve()}"
    host = "127.0.0.1" if name[0] == "0.0.0.0" else name[0]  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{name[1]}" if ":" in host else f"http://{host}:{name[1]}"


def beyond_this_machine(listening: socket.socket) -> bool:
    """Whether others can reach it."""
    name = listening.getsockname()
    return not isinstance(name, str) and not ipaddress.ip_address(name[0].partition("%")[0]).is_loopback


def build(app: FastAPI, stop_timeout: float) -> uvicorn.Server:
    """A server of the application that logs nothing of its own but warnings."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=max(1, round(stop_timeout)),
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return uvicorn.Server(config)


def run(app: FastAPI, listening: socket.socket, stop_timeout: float) -> None:
    """Serve until SIGINT or SIGTERM, then finish what was accepted; a second signal ends at once."""
    path = listening.getsockname()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again when it has stopped
            signal.signal(number, lambda *_: None)
    try:
        build(app, stop_timeout).run(sockets=[listening])
    finally:
        if isinstance(path, str):
            Path(path).unlink(missing_ok=True)


class _Lines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, event, and the facts given along."""
        said = {"time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"}
        said |= {"level": record.levelname.lower(), "event": record.getMessage(), **getattr(record, "facts", {})}
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def log_to_stderr() -> None:
    """Structured logs of the server, and uvicorn's warnings among them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for name, level in (("lasro.serve", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
