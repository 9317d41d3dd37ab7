"""What can go wrong, by kind. All of it is a `SluiceError`; `code` is the contract (the server's docs/errors.md)."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

MAX_MESSAGE_CHARS = 2_000
LONGEST_WAIT_SECONDS = 86_400.0
# A proxy's refusals, which say nothing of whether to come back
_PASSING = frozenset({408, 425, 429, 502, 503, 504})


class SluiceError(Exception):
    """
    code: a row of the server's error table, the provider's own code, or `connection_lost`, `wait_timeout`,
        `invalid_answer`
    status: of the HTTP answer, or None: there was none (a job's own error, a lost connection)
    retry_after: seconds after which the same call may succeed; None: nobody said
    retryable: whether the same call may succeed later at all
    request_id: for the operator, who finds it in the server's log
    param: what of the request is wrong, such as "messages[0].role"
    type: OpenAI's kind of error
    limit: the limit that had no room, where one refused: {level, unit, limit, remaining, requested, reset_ms, …}
    sluice_code: the row of the server's table, if `code` is the provider's or OpenAI's
    job_id: of the job that it is about
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
        request_id: str | None = None,
        param: str | None = None,
        type: str | None = None,
        limit: Mapping[str, Any] | None = None,
        sluice_code: str | None = None,
        job_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.retry_after = retry_after
        self.retryable = retryable
        self.request_id = request_id
        self.param = param
        self.type = type
        self.limit = limit
        self.sluice_code = sluice_code
        self.job_id = job_id

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuilt, (self.__class__, dict(self.__dict__)))

    def __str__(self) -> str:
        where = [self.code, *([] if self.status is None else [f"HTTP {self.status}"])]
        where += [] if self.request_id is None else [f"request {self.request_id}"]
        return f"{self.message} ({', '.join(where)})"


class InvalidRequest(SluiceError):
    """The request is wrong as it is (4xx)."""


class AuthenticationError(SluiceError):
    """No key, or one that is not valid (401)."""


class PermissionDenied(SluiceError):
    """The key may not do that (403)."""


class NotFound(SluiceError):
    """There is no such job, model or conversation (404)."""


class Gone(SluiceError):
    """What is asked for is no longer kept (410)."""


class RateLimited(SluiceError):
    """A limit, or the queue, has no room (429)."""


class ServerError(SluiceError):
    """Sluice, or the provider behind it, failed (5xx)."""


class ConnectionLost(SluiceError):
    """Nobody answered, or the connection broke, for as long as the client's `patience`. The job may well be running."""


class InvalidAnswer(SluiceError):
    """The answer is not Sluice's: check the base URL, and what is between."""


class WaitTimeout(SluiceError):
    """The call's own `timeout` passed. The job keeps running: wait again, or cancel it."""


class JobFailed(SluiceError):
    """The job ended without its answer."""


class JobCanceled(JobFailed):
    """The job was canceled."""


class JobExpired(JobFailed):
    """The job's deadline passed before it could start."""


_BY_STATUS: Mapping[int, type[SluiceError]] = {
    401: AuthenticationError,
    403: PermissionDenied,
    404: NotFound,
    410: Gone,
    429: RateLimited,
}
_BY_STATE: Mapping[str, type[JobFailed]] = {"canceled": JobCanceled, "expired": JobExpired}


def _rebuilt(kind: type[SluiceError], state: dict[str, Any]) -> SluiceError:
    error = kind(str(state["message"]), code=str(state["code"]))
    error.__dict__.update(state)
    return error


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value != "" else None


def _members(error: object) -> dict[str, Any]:
    wire = error if isinstance(error, dict) else {}
    limit = wire.get("limit")
    return {
        "param": _text(wire.get("param")),
        "type": _text(wire.get("type")),
        "limit": limit if isinstance(limit, dict) else None,
        "sluice_code": _text(wire.get("sluice_code")),
    }


def _said(error: object, otherwise: str) -> str:
    message = _text(error.get("message")) if isinstance(error, dict) else None
    return (message or otherwise)[:MAX_MESSAGE_CHARS]


def _code(error: object, otherwise: str) -> str:
    return (_text(error.get("code")) if isinstance(error, dict) else None) or otherwise


def error_of_answer(status: int, headers: Mapping[str, str], body: object) -> SluiceError:
    """`headers`: names in lower case. `body`: its JSON, or None."""
    error = body.get("error") if isinstance(body, dict) else None
    told = headers.get("x-should-retry")
    wait = retry_after(headers)
    if error is None and 300 <= status < 400:
        return InvalidAnswer(
            "The server redirects to another address: name that one as the base URL.",
            code="invalid_answer",
            status=status,
        )
    kind = _BY_STATUS.get(status) or (ServerError if status >= 500 else InvalidRequest)
    # More than a minute away it says "false" beside the time: for SDKs that wait no longer
    retryable = told == "true" or (told is None and status in _PASSING)
    return kind(
        _said(error, f"The server answered with HTTP {status}."),
        code=_code(error, "invalid_answer" if error is None else "unknown"),
        status=status,
        retry_after=wait,
        retryable=retryable,
        request_id=headers.get("x-request-id"),
        job_id=headers.get("sluice-job"),
        **_members(error),
    )


def error_of_job(job_id: str, state: str, error: object) -> JobFailed:
    """Of a job that ended without its answer, by its own error."""
    return _BY_STATE.get(state, JobFailed)(
        _said(error, f"The job ended as {state}."), code=_code(error, f"job_{state}"), job_id=job_id, **_members(error)
    )


def as_of_job(error: SluiceError) -> JobFailed:
    """The answer to who asks for the result of such a job."""
    kind = {"job_canceled": JobCanceled, "deadline_exceeded": JobExpired}.get(error.code, JobFailed)
    failed = kind(error.message, code=error.code)
    failed.__dict__.update(error.__dict__)
    return failed


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, at most a day."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None or len(text) > 64:
            continue
        try:
            seconds = float(text) * scale
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - time.time()
            except (TypeError, ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
    return None
