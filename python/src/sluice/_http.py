"""What both clients make of httpx: its bounds and its failures. Nothing else here knows it."""

from __future__ import annotations

import asyncio
import ssl
import time

import httpx

from ._errors import ConnectionLost, InvalidAnswer, SluiceError
from ._steps import Request, Response

# Each job that is followed holds a connection
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=4.0)
MAX_BODY_BYTES = 256 << 20
CONNECT_SECONDS = 10.0
FAILURES = (httpx.TransportError, httpx.StreamError, httpx.InvalidURL, OSError, TimeoutError, asyncio.TimeoutError)


def timeouts(request: Request) -> httpx.Timeout:
    read = request.timeout if request.silence is None else request.silence
    return httpx.Timeout(request.timeout, connect=min(CONNECT_SECONDS, request.timeout), read=read)


class Body:
    """Of one answer, within its bounds."""

    def __init__(self, request: Request, response: httpx.Response) -> None:
        self._until = time.monotonic() + request.timeout
        self._response = response
        self._bytes = bytearray()

    def add(self, piece: bytes) -> None:
        self._bytes += piece
        if len(self._bytes) > MAX_BODY_BYTES:
            raise InvalidAnswer("The answer is too large.", code="invalid_answer", status=self._response.status_code)
        if time.monotonic() > self._until:
            raise ConnectionLost("The answer took too long.", code="connection_lost", retryable=True)

    def whole(self) -> Response:
        return response_of(self._response, bytes(self._bytes))


def response_of(response: httpx.Response, body: bytes = b"") -> Response:
    return Response(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


def is_stream(request: Request, response: httpx.Response) -> bool:
    return request.silence is not None and response.status_code == 200


def lost(failure: BaseException) -> SluiceError:
    """Says nothing of what was sent."""
    cause: BaseException | None = failure
    for _ in range(5):
        if isinstance(cause, ssl.SSLCertVerificationError):
            message = f"The server's certificate is not valid: {cause.verify_message}"
            return ConnectionLost(message, code="connection_lost")
        cause = None if cause is None else cause.__cause__ or cause.__context__
    what = str(failure)[:200] or type(failure).__name__
    return ConnectionLost(
        f"The server can't be reached, or the connection broke: {what}", code="connection_lost", retryable=True
    )
