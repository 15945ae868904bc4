"""`Endpoint`: one server as its clients see it. One question, one answer or a named error; asking again is client.py's."""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

from reward_zoo import errors
from reward_zoo.errors import ProtocolError, RewardError, RewardFailedError, SpecError
from reward_zoo.serving.protocol import HEADER, VERSION, decode_error

if TYPE_CHECKING:
    import httpx

TOKEN_VARIABLE, TIMEOUT_VARIABLE = "LASRO_TOKEN", "LASRO_TIMEOUT"
TIMEOUT, CONNECT_TIMEOUT = 300.0, 10.0  # seconds for an answer, unless the variable says otherwise, and for a connection
REST = 20.0  # seconds that a server which gave no answer is asked last
BUSY = (429, 502, 503, 504)


def seconds_for_an_answer() -> float:
    """`LASRO_TIMEOUT`, or the default.

    Raises:
        SpecError: it is no number of seconds.
    """
    given = os.environ.get(TIMEOUT_VARIABLE, str(TIMEOUT))
    try:
        return float(given)
    except ValueError:
        raise SpecError(f"{TIMEOUT_VARIABLE}={given}: is not a number of seconds") from None


class Away(Exception):
    """No answer this time; `after` is how many seconds the server asked to wait, if it did."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Endpoint:
    """A server's `http://HOST:PORT` or `unix:SOCKET`, and the reward's `name` there. Safe for threads and forks.

    Loopback addresses are never asked through a proxy. Messages call it `shown`, else by its address.
    """

    def __init__(self, url: str, token: str | None = None, *, shown: str = "") -> None:
        self.base, _, self.name = url.rstrip("/").rpartition("/")
        self._shown = shown
        self.token, self.in_flight, self.rested = token, 0, 0.0
        self._lock, self._http, self._owner = threading.Lock(), None, 0

    @property
    def shown(self) -> str:
        """What messages call it."""
        return self._shown or self.base

    @property
    def resting(self) -> bool:
        """Whether it gave no answer a moment ago."""
        return time.monotonic() < self.rested

    def ask(self, method: str, path: str, content: bytes | None = None, media_type: str = "") -> bytes:
        """The body of a good answer.

        Raises:
            Away: it is not there, or busy.
            RewardError: it says no; the class that it names, where that is one of errors.py's.
            ProtocolError: it speaks another version.
        """
        with self._lock:
            self.in_flight += 1
        try:
            body = self._exchange(method, path, content, media_type)
        except Away as away:
            self.rested = time.monotonic() + (REST if away.after is None else 0)
            raise
        finally:
            with self._lock:
                self.in_flight -= 1
        self.rested = 0.0
        return body

    def _exchange(self, method: str, path: str, content: bytes | None, media_type: str) -> bytes:
        import httpx

        token = self.token or os.environ.get(TOKEN_VARIABLE)
        headers = {HEADER: VERSION}
        headers |= {"Content-Type": media_type} if media_type else {}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        url, limit = self.shown + path, seconds_for_an_answer()
        address = f"http://localhost{path}" if self.base.startswith("unix:") else self.base + path
        timeout = httpx.Timeout(limit, connect=min(CONNECT_TIMEOUT, limit))
        try:
            answer = self._client().request(method, address, content=content, headers=headers, timeout=timeout)
        except httpx.ConnectTimeout as error:
            raise Away(f"no connection within {timeout.connect:g} s") from error
        except httpx.TimeoutException as error:
            raise Away(f"no answer within {limit:g} s; {TIMEOUT_VARIABLE} is how long to wait") from error
        except httpx.TransportError as error:
            raise Away(str(error) or type(error).__name__) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise RewardFailedError(f"{url}: {error}; write http://HOST:PORT/NAME") from error
        return self._body(url, answer)

    def _body(self, url: str, answer: httpx.Response) -> bytes:
        status = answer.status_code
        reason, kind = decode_error(answer.content) if answer.is_error else ("", "")
        if status in BUSY:
            raise Away(f"it answered {status}" + (f": {reason}" if kind else ""), _seconds(answer.headers.get("Retry-After")))
        if status in (401, 403):
            raise RewardFailedError(f"{url}: not allowed ({status}); set {TOKEN_VARIABLE} to the server's token")
        if answer.is_error:
            known = getattr(errors, kind, None)
            named = known if isinstance(known, type) and issubclass(known, RewardError) else RewardFailedError
            doubt = "" if kind or HEADER in answer.headers else "; is that a lasro server of this version?"
            raise named(f"{url}: {status}: {reason}{doubt}")
        spoken = answer.headers.get(HEADER)
        if spoken != VERSION:
            raise ProtocolError(
                f"{url}: speaks protocol {spoken or 'none'}, not {VERSION}; is that a lasro server of this version?"
            )
        return answer.content

    def _client(self) -> httpx.Client:
        """Connections that stay open; a forked process makes its own."""
        import httpx

        with self._lock:
            if self._http is None or self._owner != os.getpid():
                unix = self.base.startswith("unix:")
                transport = httpx.HTTPTransport(uds=self.base.removeprefix("unix:")) if unix else None
                near = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
                self._http, self._owner = httpx.Client(transport=transport, mounts=near), os.getpid()
                weakref.finalize(self, self._http.close)
            return self._http


def _seconds(header: str | None) -> float | None:
    try:
        return min(float(header), 30.0) if header and float(header) >= 0 else None
    except ValueError:
        return None
