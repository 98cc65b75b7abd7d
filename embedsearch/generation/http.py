"""Requests to a language model's server: time limits, retries, answers of bounded size."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from embedsearch.errors import InputError, ServerError
from embedsearch.text.words import counted

if TYPE_CHECKING:
    import httpx2

MAX_LINE = 1 << 20
MAX_ANSWER = 64 << 20
"""Bytes of a line and of a whole answer; nothing sound is as long."""

_BUSY = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_WAIT_S = 20.0
_SHOWN = 200
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """How long a server may take. `timeout_s` for each step (to connect, to send the next bytes),
    `total_s` for the whole answer with all attempts. A server that is busy or cannot be reached
    is asked `retries` times more, each time after twice the wait."""

    timeout_s: float = 60.0
    total_s: float = 600.0
    retries: int = 3
    wait_s: float = 0.5

    def __post_init__(self) -> None:
        for name in ("timeout_s", "total_s", "wait_s"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise InputError(f"{name} must be a number of seconds above 0, not {value!r}")
        if type(self.retries) is not int or self.retries < 0:
            raise InputError(f"retries must be a whole number from 0 on, not {self.retries!r}")


class Endpoint:
    """The base URL of a server, `http://host:8000/v1` for instance, and the key for it."""

    def __init__(self, url: str, key: str | None, limits: ServerLimits) -> None:
        """InputError for what is no such URL; the message does not repeat what may be secret."""
        try:
            parts = urlsplit(url)
            host = parts.hostname
            parts.port  # noqa: B018 - raises for what is no port
        except ValueError:
            host = None
        if host is None or parts.scheme not in ("http", "https"):
            raise InputError(f"no URL of a server: {url!r}; for instance http://localhost:8000/v1")
        if parts.username is not None or parts.query or parts.fragment:
            raise InputError(
                f"the URL of the server {host!r} must have no user, password, query or fragment: "
                "a key is taken from the environment alone"
            )
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise InputError("the key in the environment has characters that no key can have")
        self.url = url.rstrip("/")
        self._local = host in _LOOPBACK
        self._key = key
        self._limits = limits

    def get(self, path: str) -> Any:
        """The JSON value at a path."""
        with self._answer("GET", path, None) as (response, deadline):
            return self._json(b"".join(self._chunks(response, deadline)))

    def events(self, path: str, body: Mapping[str, Any]) -> Iterator[Any]:
        """The JSON values that a server sends as they come (server-sent events); one when it sends
        its answer in one piece. ServerError at the end where `[DONE]` did not come is left to the
        caller, who knows whether the answer was whole."""
        with self._answer("POST", path, body) as (response, deadline):
            chunks = self._chunks(response, deadline)
            if "event-stream" not in response.headers.get("content-type", "").lower():
                yield self._json(b"".join(chunks))
                return
            for line in _lines(chunks, self.failure):
                if not line.startswith(b"data:"):
                    continue
                data = line.removeprefix(b"data:").strip()
                if data == b"[DONE]":
                    return
                yield self._json(data)

    @contextmanager
    def _answer(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> Iterator[tuple[httpx2.Response, float]]:
        """The response of a server that is neither busy nor out of reach, and when it must end."""
        import httpx2

        deadline = time.monotonic() + self._limits.total_s
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        with httpx2.Client(
            timeout=self._limits.timeout_s, headers=headers, trust_env=not self._local
        ) as client:
            for attempt in range(self._limits.retries + 1):
                request = client.build_request(method, f"{self.url}/{path}", json=body)
                problem, wait = "", self._limits.wait_s * 2**attempt
                try:
                    response = client.send(request, stream=True)
                except (httpx2.ConnectError, httpx2.RemoteProtocolError, httpx2.ReadError) as error:
                    problem = f"cannot be reached: {error}"
                except httpx2.TimeoutException:
                    raise self.failure(f"gave no answer for {self._limits.timeout_s:g} s") from None
                except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                    raise self.failure(f"cannot be asked: {error}") from None
                else:
                    if response.status_code == 200:
                        with self._told(), response_closed(response):
                            yield response, deadline
                        return
                    problem = self._refusal(response, deadline)
                    if response.status_code not in _BUSY:
                        raise self.failure(problem)
                    wait = _retry_after(response) or wait
                wait = min(wait, _LONGEST_WAIT_S) * random.uniform(0.75, 1.25)  # noqa: S311
                if attempt == self._limits.retries or time.monotonic() + wait > deadline:
                    raise self.failure(f"{problem} (asked {counted(attempt + 1, 'time')})")
                time.sleep(wait)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong while an answer is read, as a ServerError."""
        import httpx2

        try:
            yield
        except httpx2.TimeoutException:
            raise self.failure(f"sent nothing for {self._limits.timeout_s:g} s") from None
        except httpx2.HTTPError as error:
            raise self.failure(f"broke off: {error}") from None

    def _chunks(self, response: httpx2.Response, deadline: float) -> Iterator[bytes]:
        size = 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > MAX_ANSWER:
                raise self.failure(f"sends more than {MAX_ANSWER >> 20} MB")
            if time.monotonic() > deadline:
                raise self.failure(f"was not done after {self._limits.total_s:g} s")
            yield chunk

    def _refusal(self, response: httpx2.Response, deadline: float) -> str:
        """The status and what the server says about it."""
        with response_closed(response):
            said = b""
            try:
                for chunk in self._chunks(response, deadline):
                    said += chunk
                    if len(said) > MAX_LINE:
                        break
            except Exception:  # the status tells enough where its text does not come
                said = b""
        where = response.headers.get("location", "") if response.is_redirect else ""
        text = where or self.shown(_message(said))
        return f"answers {response.status_code} {response.reason_phrase}: {text}".rstrip(": ")

    def _json(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            shown = self.shown(data[:MAX_LINE].decode("utf-8", "replace"))
            raise self.failure(f"does not answer in JSON: {shown!r}") from None

    def failure(self, what: str) -> ServerError:
        """An error that tells what the server does; never the key, should it repeat that."""
        return ServerError(self._without_key(f"the server {self.url} {what}"))

    def shown(self, said: str) -> str:
        """The beginning of what a server says, for an error; no part of the key."""
        return self._without_key(said)[:_SHOWN]

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "…") if self._key else text


@contextmanager
def response_closed(response: httpx2.Response) -> Iterator[None]:
    try:
        yield
    finally:
        response.close()


def _lines(chunks: Iterator[bytes], fail: Any) -> Iterator[bytes]:
    """Whole lines; what stands behind the last line feed is no line."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.rstrip(b"\r") for line in whole)
        if len(rest) > MAX_LINE:
            raise fail(f"sends a line of more than {MAX_LINE >> 20} MB")


def _retry_after(response: httpx2.Response) -> float | None:
    said = response.headers.get("retry-after", "")
    return float(said) if said.isdecimal() and len(said) < 6 else None


def _message(said: bytes) -> str:
    """The words of an error's body, in the layout of OpenAI or any other."""
    text = said.decode("utf-8", "replace")
    try:
        value = json.loads(text)
        error = value.get("error", value) if isinstance(value, dict) else value
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, RecursionError):
        pass
    return " ".join(text.split())
