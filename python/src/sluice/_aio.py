"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from . import _steps as steps
from ._errors import SluiceError
from ._events import Event
from ._http import FAILURES, LIMITS, Body, is_stream, lost, response_of, timeouts
from ._job import Content, JobView
from ._runs import AsyncRuns
from ._settings import JobOptions, Settings, job_body

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")


class AsyncSluice:
    """
    base_url: default SLUICE_URL, or http://127.0.0.1:4100
    api_key: default SLUICE_API_KEY
    timeout: seconds that a single request may take
    patience: seconds that it goes on trying while nothing gets through

    For one event loop. Raises SluiceError, and ValueError or TypeError for what can't be sent.
    """

    def __init__(
        self, base_url: str | None = None, api_key: str | None = None, *, timeout: float = 30.0, patience: float = 60.0
    ) -> None:
        self._settings = Settings(base_url, api_key, timeout, patience)
        self._http = httpx.AsyncClient(
            base_url=self._settings.base_url,
            headers=self._settings.headers(),
            limits=LIMITS,
            timeout=timeout,
            follow_redirects=False,
        )
        self.runs = AsyncRuns(self)

    async def submit(self, request: Mapping[str, Any], **options: Unpack[JobOptions]) -> AsyncJob:
        """
        Returns once the job is stored: it runs whatever becomes of this program. `request`: the body of a chat
        completion, or of what is posted to `endpoint`. It is sent again under one key until it is answered.
        """
        return AsyncJob(self, await self._run(steps.submit(self._settings, job_body(request, options))))

    async def attach(self, job_id: str) -> AsyncJob:
        """A job that was submitted before, here or elsewhere."""
        return AsyncJob(self, await self._run(steps.show(self._settings, job_id)))

    async def jobs(self, **filters: str | int) -> list[AsyncJob]:
        """Newest first. Filters: state, lane, conversation, model, user, limit (default 20), before (a job's id)."""
        return [AsyncJob(self, view) for view in await self._run(steps.jobs(self._settings, filters))]

    def conversation(self, conversation_id: str) -> AsyncConversation:
        return AsyncConversation(self, conversation_id)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncSluice {self._settings.base_url}>"

    # ------------------------------------------------------------ carrying out

    async def _run(self, procedure: steps.Steps[T]) -> T:
        values: list[T] = []
        async for _ in self._carry_out(procedure, values):
            pass
        return values[0]

    async def _carry_out(self, procedure: steps.Steps[T], values: list[T] | None = None) -> AsyncIterator[Event]:
        """What it emits. `values` gets its value."""
        outcome: Any = None
        async with AsyncExitStack() as connection:
            stream: AsyncIterator[bytes] = _nothing()
            while True:
                try:
                    effect = procedure.throw(outcome) if isinstance(outcome, SluiceError) else procedure.send(outcome)
                except StopIteration as stop:
                    if values is not None:
                        values.append(stop.value)
                    return
                outcome = None
                try:
                    if isinstance(effect, steps.Emit):
                        yield effect.event
                    elif isinstance(effect, steps.Read):
                        outcome = await anext(stream, b"")
                    elif isinstance(effect, steps.Pause):
                        await asyncio.sleep(effect.seconds)
                    elif isinstance(effect, steps.Close):
                        await connection.aclose()
                    else:
                        outcome, stream = await asyncio.wait_for(self._ask(effect, connection), effect.timeout)
                except SluiceError as error:
                    outcome = error
                except FAILURES as failure:
                    outcome = lost(failure)

    async def _ask(
        self, request: steps.Request, connection: AsyncExitStack
    ) -> tuple[steps.Response, AsyncIterator[bytes]]:
        async with AsyncExitStack() as stack:
            asked = self._http.stream(
                request.method,
                request.path,
                content=request.body,
                headers=dict(request.headers),
                timeout=timeouts(request),
            )
            response = await stack.enter_async_context(asked)
            if is_stream(request, response):
                connection.push_async_exit(stack.pop_all())
                return response_of(response), response.aiter_raw()
            body = Body(request, response)
            async for piece in response.aiter_raw():
                body.add(piece)
            return body.whole(), _nothing()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


class AsyncJob(JobView):
    """Made by `submit`, `attach` and `jobs`."""

    def __init__(self, sluice: AsyncSluice, view: dict[str, Any]) -> None:
        super().__init__(view)
        self._sluice = sluice

    def events(self, after: str | None = None, *, timeout: float | None = None) -> AsyncIterator[Event]:
        """
        All of its log, or what comes after a cursor, until its `End`: each event once, over any number of cuts. How the
        job ended is in the `End`. timeout: seconds for all of it, then WaitTimeout; the job keeps running.
        """
        reading = self._read_from(after)
        sluice = self._sluice
        return sluice._carry_out(steps.follow(sluice._settings, self.id, reading, steps.Deadline(timeout)))

    async def follow(self, after: str | None = None, *, timeout: float | None = None) -> AsyncIterator[Event]:
        """As `events`, but raises JobFailed, JobCanceled or JobExpired where the job ended so."""
        async for event in self.events(after, timeout=timeout):
            self._check(event)
            yield event

    async def result(self, *, timeout: float | None = None) -> dict[str, Any]:
        """
        Waits for the whole answer, as its endpoint gives it: `chat.completion`, embedding list, images in base64, a
        transcript ({"text": …} where that is no JSON). Raises JobFailed, WaitTimeout, and InvalidAnswer (`not_json`)
        for a sound, which `content` gives.
        """
        sluice = self._sluice
        return await sluice._run(steps.result(sluice._settings, self.id, steps.Deadline(timeout)))

    async def content(self, index: int = 0, *, timeout: float | None = None) -> Content:
        """Waits for the bytes of a sound, or of one image of several. Raises JobFailed, WaitTimeout, NotFound."""
        sluice = self._sluice
        return await sluice._run(steps.content(sluice._settings, self.id, index, steps.Deadline(timeout)))

    async def refresh(self) -> Self:
        """Asks for its state and its place in line."""
        self._view = await self._sluice._run(steps.show(self._sluice._settings, self.id))
        return self

    async def cancel(self, *, tree: bool = False) -> None:
        """Ends it. Canceling one that has ended changes nothing. tree: and all jobs that stem from it."""
        self._view = await self._sluice._run(steps.cancel(self._sluice._settings, self.id, tree))


class AsyncConversation:
    """A lane with memory: the server keeps the turns, and each message is a job."""

    def __init__(self, sluice: AsyncSluice, conversation_id: str) -> None:
        self.id = conversation_id
        self._sluice = sluice

    async def send(self, message: str | Mapping[str, Any], *, model: str, **options: Unpack[JobOptions]) -> AsyncJob:
        """A user's text, or one message of any role (a tool's result). Messages are answered one after the other."""
        options["conversation"] = self.id
        return await self._sluice.submit(steps.turn(message, model), **options)

    async def turns(self, limit: int = 100) -> list[dict[str, Any]]:
        """The last ones, oldest first: {job, state, messages, answer}. Raises NotFound before the first message."""
        return await self._sluice._run(steps.turns(self._sluice._settings, self.id, limit))

    async def delete(self) -> None:
        """With the jobs in it that have not ended."""
        await self._sluice._run(steps.delete(self._sluice._settings, self.id))
