"""
What the clients do, without doing it: each procedure yields what it needs (a request, a pause, the next bytes) and is
handed the outcome. `_sync.py` and `_aio.py` carry it out, so that retries and resuming are decided in one place.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, Union
from urllib.parse import quote, urlencode

from ._errors import ConnectionLost, InvalidAnswer, SluiceError, WaitTimeout, as_of_job, error_of_answer, error_of_job
from ._events import Event
from ._job import Content
from ._reading import Reading
from ._settings import Settings
from ._sse import SseParser

# Full jitter over a window that doubles, so that a thousand clients do not come back at once
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
# The server sends a comment every 15 s; after this much silence the connection is lost
SILENT_SECONDS = 45.0
# A stream that lasted this long got through, whether or not there was something to tell
LASTING_SECONDS = 5.0
# Less than most proxies wait
LONG_POLL_SECONDS = 25.0
# Between two asks of a server that doesn't let anybody wait
SHORT_POLL_SECONDS = 0.5
# Images may be many megabytes
CONTENT_SECONDS = 600.0
ENDED = frozenset({"done", "failed", "canceled", "expired"})
JSON_HEADERS = {"content-type": "application/json"}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 30.0
    """Seconds that all of it may take; of a stream, until its head is there."""
    silence: float | None = None
    """A stream: its head is the answer, unless it is a refusal; then so many seconds may pass without a byte."""


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Pause:
    seconds: float


class Read:
    """The next bytes of the stream that is open; b"" at its end."""


class Close:
    """Of the stream."""


@dataclass(frozen=True)
class Emit:
    event: Event


T = TypeVar("T")
Effect = Union[Request, Pause, Read, Close, Emit]
Steps = Generator[Effect, Any, T]


class Deadline:
    """Of one call of the application."""

    def __init__(self, seconds: float | None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds

    def left(self, at_most: float) -> float:
        """Raises WaitTimeout when nothing is left."""
        if self._until is None:
            return at_most
        left = self._until - time.monotonic()
        if left <= 0:
            raise WaitTimeout("The time given to this call has passed; the job keeps running.", code="wait_timeout")
        return min(left, at_most)


class Patience:
    """Whether to try again, and when."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.first_pause = FIRST_PAUSE
        self.renew()

    def renew(self) -> None:
        """Something got through."""
        self._failures = 0
        self._since = time.monotonic()

    def pause(self, error: SluiceError) -> float:
        """Seconds. Raises the error when trying again would change nothing, or nothing got through for too long."""
        left = self._since + self._seconds - time.monotonic()
        if not error.retryable or left <= 0:
            raise error
        if error.retry_after is None:
            window = min(LONGEST_PAUSE, self.first_pause * 2 ** min(self._failures, 10))
            wait = random.uniform(0, window)
        else:
            wait = error.retry_after * random.uniform(1, 1.2)
        if wait > left and error.retry_after is not None:
            raise error
        self._failures += 1
        return min(wait, left)


def json_of(response: Response) -> Any:
    """Raises InvalidAnswer."""
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        raise InvalidAnswer(
            "The answer is not Sluice's: check the base URL, and what is between.",
            code="invalid_answer",
            status=response.status,
            request_id=response.headers.get("x-request-id"),
        ) from None


def error_of(response: Response) -> SluiceError:
    try:
        body = json.loads(response.body)
    except (ValueError, RecursionError):
        body = None
    return error_of_answer(response.status, response.headers, body)


def call(
    settings: Settings, request: Request, deadline: Deadline | None = None, *, refusals_are_final: bool = False
) -> Steps[Response]:
    """A call that may be repeated without harm. Raises what refuses it, or, when patience is over, the last error."""
    trying = Patience(settings.patience)
    limit = deadline or Deadline(None)
    while True:
        try:
            response: Response = yield replace(request, timeout=limit.left(request.timeout))
            if response.status < 300:
                return response
            raise error_of(response)
        except SluiceError as error:
            if refusals_are_final and not isinstance(error, ConnectionLost):
                raise
            wait = trying.pause(error)
        yield Pause(limit.left(wait))


def job_path(job_id: str, rest: str = "") -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}{rest}"


def query(path: str, **parameters: object) -> str:
    given = {name: str(value) for name, value in parameters.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def encoded(body: Mapping[str, Any]) -> bytes:
    """Raises TypeError."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    except (ValueError, RecursionError) as error:  # NaN, a lone surrogate, a circle
        raise TypeError(f"The request can't be sent as JSON: {error}") from None


def job_of(response: Response) -> dict[str, Any]:
    view = json_of(response)
    if isinstance(view, dict) and isinstance(view.get("id"), str) and view["id"] != "":
        return view
    raise InvalidAnswer("The answer is not a job: check the base URL.", code="invalid_answer", status=response.status)


def items_of(response: Response, member: str) -> list[dict[str, Any]]:
    view = json_of(response)
    items = view.get(member) if isinstance(view, dict) else None
    if isinstance(items, list):
        return [item for item in items if isinstance(item, dict)]
    raise InvalidAnswer("The answer is not a list: check the base URL.", code="invalid_answer", status=response.status)


# ---------------------------------------------------------------- procedures


def submit(settings: Settings, body: Mapping[str, Any]) -> Steps[dict[str, Any]]:
    """`body` has an idempotency key: however often it is sent, it is one job. Whoever wants no waiting is refused."""
    request = Request("POST", "/v1/jobs", encoded(body), JSON_HEADERS, settings.timeout)
    return job_of((yield from call(settings, request, refusals_are_final=body.get("policy") == "reject")))


def show(settings: Settings, job_id: str) -> Steps[dict[str, Any]]:
    return job_of((yield from call(settings, Request("GET", job_path(job_id), timeout=settings.timeout))))


def cancel(settings: Settings, job_id: str, tree: bool) -> Steps[dict[str, Any]]:
    path = query(job_path(job_id, "/cancel"), tree="true" if tree else None)
    return job_of((yield from call(settings, Request("POST", path, timeout=settings.timeout))))


def jobs(settings: Settings, filters: Mapping[str, object]) -> Steps[list[dict[str, Any]]]:
    request = Request("GET", query("/v1/jobs", **filters), timeout=settings.timeout)
    return items_of((yield from call(settings, request)), "data")


def turns(settings: Settings, conversation: str, limit: int) -> Steps[list[dict[str, Any]]]:
    request = Request("GET", query("/v1/conversations", id=conversation, limit=limit), timeout=settings.timeout)
    return items_of((yield from call(settings, request)), "turns")


def delete(settings: Settings, conversation: str) -> Steps[None]:
    request = Request("DELETE", query("/v1/conversations", id=conversation), timeout=settings.timeout)
    yield from call(settings, request)


def turn(message: str | Mapping[str, Any], model: str) -> dict[str, Any]:
    one = {"role": "user", "content": message} if isinstance(message, str) else message
    return {"model": model, "messages": [one]}


def result(settings: Settings, job_id: str, deadline: Deadline) -> Steps[dict[str, Any]]:
    """The JSON answer. Raises the job's own error, WaitTimeout."""
    while True:
        began = time.monotonic()
        wait = deadline.left(LONG_POLL_SECONDS)
        path = query(job_path(job_id, "/result"), wait_ms=int(wait * 1000))
        try:
            response = yield from call(settings, Request("GET", path, timeout=wait + settings.timeout), deadline)
        except SluiceError as error:
            # Of the job, not of the call: such an answer names it
            if error.job_id is None:
                raise
            raise as_of_job(error) from None
        if response.status == 200:
            return answer_of(response)
        spare = SHORT_POLL_SECONDS - (time.monotonic() - began)
        if spare > 0:
            yield Pause(deadline.left(spare))


def answer_of(response: Response) -> dict[str, Any]:
    """Raises InvalidAnswer."""
    kind = response.headers.get("content-type", "").lower()
    # A proxy's page says that it is HTML
    if kind.startswith("text/") and not kind.startswith("text/html"):
        return {"text": response.body.decode("utf-8", "replace")}
    if kind.startswith(("audio/", "video/", "image/", "application/octet-stream")):
        message = f"The answer is {kind}, not JSON: content() has its bytes."
        raise InvalidAnswer(message, code="not_json", status=response.status)
    answer = json_of(response)
    if isinstance(answer, dict):
        return answer
    raise InvalidAnswer("The answer is not a JSON object.", code="invalid_answer", status=response.status)


def content(settings: Settings, job_id: str, index: int, deadline: Deadline) -> Steps[Content]:
    """Once the job has ended. Raises its own error, WaitTimeout, NotFound."""
    while True:
        began = time.monotonic()
        wait = deadline.left(LONG_POLL_SECONDS)
        path = query(job_path(job_id), wait_ms=int(wait * 1000))
        view = job_of((yield from call(settings, Request("GET", path, timeout=wait + settings.timeout), deadline)))
        state = str(view.get("state"))
        if state in ENDED:
            break
        spare = SHORT_POLL_SECONDS - (time.monotonic() - began)
        if spare > 0:
            yield Pause(deadline.left(spare))
    if state != "done":
        raise error_of_job(job_id, state, view.get("error"))
    request = Request("GET", query(job_path(job_id, "/content"), index=index), timeout=CONTENT_SECONDS)
    response = yield from call(settings, request, deadline)
    return Content(response.body, response.headers.get("content-type", "application/octet-stream"))


def follow(settings: Settings, job_id: str, reading: Reading, deadline: Deadline) -> Steps[None]:
    """Emits what comes after the reading's cursor, each event once, over any number of connections."""
    trying = Patience(settings.patience)
    asked = reading.cursor
    while True:
        opened = time.monotonic()
        before = reading.cursor
        try:
            resume = {} if before is None else {"last-event-id": before}
            request = Request(
                "GET",
                job_path(job_id, "/events"),
                headers={"accept": "text/event-stream", **resume},
                timeout=deadline.left(settings.timeout),
                silence=deadline.left(SILENT_SECONDS),
            )
            response: Response = yield request
            if response.status == 204:
                # Only the application's own cursor may be at the end: nobody has told of one since
                if before is not None and before == asked:
                    return
                raise InvalidAnswer("The answer has ended, and its end was not told.", code="invalid_answer")
            if response.status != 200:
                raise error_of(response)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise InvalidAnswer("The answer is not an event stream: check the base URL.", code="invalid_answer")
            parser = SseParser()
            while True:
                piece: bytes = yield Read()
                deadline.left(1)
                if piece == b"":
                    raise ConnectionLost("The stream ended too early.", code="connection_lost", retryable=True)
                for raw in parser.feed(piece):
                    event = reading.apply(raw)
                    if event is not None:
                        yield Emit(event)
                    if reading.end is not None:
                        return
                if parser.retry_ms is not None:
                    trying.first_pause = min(parser.retry_ms / 1000, LONGEST_PAUSE)
        except SluiceError as error:
            yield Close()
            if reading.cursor != before or time.monotonic() - opened > LASTING_SECONDS:
                trying.renew()
            wait = trying.pause(error)
            reading.cuts += 1
        yield Pause(deadline.left(wait))
