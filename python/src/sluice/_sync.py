"""The client for threads."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from . import _steps as steps
from ._errors import SluiceError
from ._events import Event
from ._http import FAILURES, LIMITS, Body, is_stream, lost, response_of, timeouts
from ._job import Content, JobView
from ._runs import Runs
from ._settings import JobOptions, Settings, job_body

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")


class Sluice:
    """
    base_url: default SLUICE_URL, or http://127.0.0.1:4100
    api_key: default SLUICE_API_KEY
    timeout: seconds that a single request may take
    patience: seconds that it goes on trying while nothing gets through

    Safe to share between threads. Raises SluiceError, and ValueError or TypeError for what can't be sent.
    """

    def __init__(
        self, base_url: str | None = None, api_key: str | None = None, *, timeout: float = 30.0, patience: float = 60.0
    ) -> None:
        self._settings = Settings(base_url, api_key, timeout, patience)
        self._http = httpx.Client(
            base_url=self._settings.base_url,
            headers=self._settings.headers(),
            limits=LIMITS,
            timeout=timeout,
            follow_redirects=False,
        )
        self.runs = Runs(self)

    def submit(self, request: Mapping[str, Any], **options: Unpack[JobOptions]) -> Job:
        """
        Returns once the job is stored: it runs whatever becomes of this program. `request`: the body of a chat
        completion, or of what is posted to `endpoint`. It is sent again under one key until it is answered.
        """
        return Job(self, self._run(steps.submit(self._settings, job_body(request, options))))

    def attach(self, job_id: str) -> Job:
        """A job that was submitted before, here or elsewhere."""
        return Job(self, self._run(steps.show(self._settings, job_id)))

    def jobs(self, **filters: str | int) -> list[Job]:
        """Newest first. Filters: state, lane, conversation, model, user, limit (default 20), before (a job's id)."""
        return [Job(self, view) for view in self._run(steps.jobs(self._settings, filters))]

    def conversation(self, conversation_id: str) -> Conversation:
        return Conversation(self, conversation_id)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Sluice {self._settings.base_url}>"

    # ------------------------------------------------------------ carrying out

    def _run(self, procedure: steps.Steps[T]) -> T:
        events = self._carry_out(procedure)
        while True:
            try:
                next(events)
            except StopIteration as stop:
                value: T = stop.value
                return value

    def _carry_out(self, procedure: steps.Steps[T]) -> Generator[Event, None, T]:
        outcome: Any = None
        with ExitStack() as connection:
            stream: Iterator[bytes] = iter(())
            while True:
                try:
                    effect = procedure.throw(outcome) if isinstance(outcome, SluiceError) else procedure.send(outcome)
                except StopIteration as stop:
                    value: T = stop.value
                    return value
                outcome = None
                try:
                    if isinstance(effect, steps.Emit):
                        yield effect.event
                    elif isinstance(effect, steps.Read):
                        outcome = next(stream, b"")
                    elif isinstance(effect, steps.Pause):
                        time.sleep(effect.seconds)
                    elif isinstance(effect, steps.Close):
                        connection.close()
                    else:
                        outcome, stream = self._ask(effect, connection)
                except SluiceError as error:
                    outcome = error
                except FAILURES as failure:
                    outcome = lost(failure)

    def _ask(self, request: steps.Request, connection: ExitStack) -> tuple[steps.Response, Iterator[bytes]]:
        with ExitStack() as stack:
            asked = self._http.stream(
                request.method,
                request.path,
                content=request.body,
                headers=dict(request.headers),
                timeout=timeouts(request),
            )
            response = stack.enter_context(asked)
            if is_stream(request, response):
                connection.push(stack.pop_all())
                return response_of(response), response.iter_raw()
            body = Body(request, response)
            for piece in response.iter_raw():
                body.add(piece)
            return body.whole(), iter(())


class Job(JobView):
    """Made by `submit`, `attach` and `jobs`."""

    def __init__(self, sluice: Sluice, view: dict[str, Any]) -> None:
        super().__init__(view)
        self._sluice = sluice

    def events(self, after: str | None = None, *, timeout: float | None = None) -> Iterator[Event]:
        """
        All of its log, or what comes after a cursor, until its `End`: each event once, over any number of cuts. How the
        job ended is in the `End`. timeout: seconds for all of it, then WaitTimeout; the job keeps running.
        """
        reading = self._read_from(after)
        sluice = self._sluice
        return sluice._carry_out(steps.follow(sluice._settings, self.id, reading, steps.Deadline(timeout)))

    def follow(self, after: str | None = None, *, timeout: float | None = None) -> Iterator[Event]:
        """As `events`, but raises JobFailed, JobCanceled or JobExpired where the job ended so."""
        for event in self.events(after, timeout=timeout):
            self._check(event)
            yield event

    def result(self, *, timeout: float | None = None) -> dict[str, Any]:
        """
        Waits for the whole answer, as its endpoint gives it: `chat.completion`, embedding list, images in base64, a
        transcript ({"text": …} where that is no JSON). Raises JobFailed, WaitTimeout, and InvalidAnswer (`not_json`)
        for a sound, which `content` gives.
        """
        sluice = self._sluice
        return sluice._run(steps.result(sluice._settings, self.id, steps.Deadline(timeout)))

    def content(self, index: int = 0, *, timeout: float | None = None) -> Content:
        """Waits for the bytes of a sound, or of one image of several. Raises JobFailed, WaitTimeout, NotFound."""
        sluice = self._sluice
        return sluice._run(steps.content(sluice._settings, self.id, index, steps.Deadline(timeout)))

    def refresh(self) -> Self:
        """Asks for its state and its place in line."""
        self._view = self._sluice._run(steps.show(self._sluice._settings, self.id))
        return self

    def cancel(self, *, tree: bool = False) -> None:
        """Ends it. Canceling one that has ended changes nothing. tree: and all jobs that stem from it."""
        self._view = self._sluice._run(steps.cancel(self._sluice._settings, self.id, tree))


class Conversation:
    """A lane with memory: the server keeps the turns, and each message is a job."""

    def __init__(self, sluice: Sluice, conversation_id: str) -> None:
        self.id = conversation_id
        self._sluice = sluice

    def send(self, message: str | Mapping[str, Any], *, model: str, **options: Unpack[JobOptions]) -> Job:
        """A user's text, or one message of any role (a tool's result). Messages are answered one after the other."""
        options["conversation"] = self.id
        return self._sluice.submit(steps.turn(message, model), **options)

    def turns(self, limit: int = 100) -> list[dict[str, Any]]:
        """The last ones, oldest first: {job, state, messages, answer}. Raises NotFound before the first message."""
        return self._sluice._run(steps.turns(self._sluice._settings, self.id, limit))

    def delete(self) -> None:
        """With the jobs in it that have not ended."""
        self._sluice._run(steps.delete(self._sluice._settings, self.id))
