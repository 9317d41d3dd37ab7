"""Runs of agents: PROTOCOL.md, section 4. Members are as on the wire."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast
from urllib.parse import quote

from ._errors import InvalidAnswer
from ._settings import Settings
from ._steps import JSON_HEADERS, Request, Steps, call, encoded, json_of, query

if TYPE_CHECKING:
    from ._aio import AsyncSluice
    from ._sync import Sluice


class RunBudget(TypedDict, total=False):
    """What all jobs of a run may use together; None, or left out: as the limits allow."""

    tokens: int | None
    """Of prompts and answers."""
    usd: float | None
    steps: int | None
    """Jobs that used something."""
    depth: int | None
    """The longest chain of parents."""


class RunTotals(TypedDict):
    jobs: int
    states: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    """As they were charged, whatever has become of the jobs; so are the two below."""
    usd: float
    steps: int
    depth: int
    is_partial: bool
    """It had more jobs than are added up: some are not kept any longer, or there are too many."""


class Run(TypedDict):
    id: str
    object: Literal["run"]
    state: Literal["open", "running", "idle", "canceled"]
    """`running`: some of its jobs live; `idle`: none does; `open`, of one that was just begun: not looked at."""
    created_at: int
    """Seconds since 1970, as below."""
    canceled_at: int | None
    budget: RunBudget
    loop_guard: bool
    metadata: Mapping[str, str]


class RunJob(TypedDict):
    id: str
    state: str
    model: str
    metadata: Mapping[str, str]
    parent: str | None
    after: list[str]
    depth: int
    attempts: int
    accepted_at_ms: int
    ended_at_ms: int | None
    queued_ms: int | None
    """Since it was accepted, as the two below."""
    ttft_ms: int | None
    total_ms: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    usd_at_most: float | None
    """By the price that it was held at: the dearest. None: nobody knows."""
    error: str | None
    """Its code."""


class RunHeld(TypedDict):
    tokens: int
    usd: float
    steps: int


class RunLeft(TypedDict):
    tokens: int | None
    usd: float | None
    steps: int | None


class RunUse(Run):
    totals: RunTotals
    held: RunHeld
    """What jobs that run, or wait for their turn, may still come to."""
    remaining: RunLeft
    """Of its budget, less what is held; None: that is not limited."""


class RunPage(RunUse):
    jobs: list[RunJob]
    """Oldest first."""
    has_more: bool
    next: str | None
    """The `after` of the page that follows."""


class ListedRun(RunUse):
    """`totals` are of its last jobs."""


class RunList(TypedDict):
    data: list[ListedRun]
    has_more: bool
    next: str | None
    """The `after` of the page that follows."""


class CanceledRun(Run):
    canceled: int
    left: int
    """Jobs of other keys, which go on: the key lacks the scope `manage`."""


def _path(run_id: str, rest: str = "") -> str:
    return f"/v1/runs/{quote(run_id, safe='')}{rest}"


def _of(settings: Settings, method: str, path: str, body: Mapping[str, Any] | None = None) -> Steps[Any]:
    """The JSON object that is answered."""
    content = None if body is None else encoded(body)
    headers = {} if body is None else JSON_HEADERS
    request = Request(method, path, content, headers, timeout=settings.timeout)
    response = yield from call(settings, request)
    answer = json_of(response)
    if isinstance(answer, dict):
        return answer
    raise InvalidAnswer("The answer is not a run: check the base URL.", code="invalid_answer", status=response.status)


def _asked(
    run_id: str | None, budget: RunBudget | None, metadata: Mapping[str, str] | None, loop_guard: bool
) -> dict[str, Any]:
    # Named here, so that what is sent again begins no other run
    named = f"run_{uuid.uuid4().hex}" if run_id is None else run_id
    return {"id": named, "budget": budget, "metadata": metadata, "loop_guard": loop_guard}


class Runs:
    """`Sluice.runs`. All of it raises SluiceError."""

    def __init__(self, sluice: Sluice) -> None:
        self._sluice = sluice

    def create(
        self,
        run_id: str | None = None,
        *,
        budget: RunBudget | None = None,
        metadata: Mapping[str, str] | None = None,
        loop_guard: bool = True,
    ) -> Run:
        """A run without a budget need not be begun: its first job does. `run_exists`: it is there with another one."""
        body = _asked(run_id, budget, metadata, loop_guard)
        return cast(Run, self._sluice._run(_of(self._sluice._settings, "POST", "/v1/runs", body)))

    def get(self, run_id: str, *, limit: int | None = None, after: str | None = None) -> RunPage:
        """With its sums, and a page of its jobs (100; at most 1,000). Raises NotFound."""
        path = query(_path(run_id), limit=limit, after=after)
        return cast(RunPage, self._sluice._run(_of(self._sluice._settings, "GET", path)))

    def list(self, *, limit: int | None = None, after: str | None = None) -> RunList:
        """Newest first: 20 of them; at most 100."""
        path = query("/v1/runs", limit=limit, after=after)
        return cast(RunList, self._sluice._run(_of(self._sluice._settings, "GET", path)))

    def cancel(self, run_id: str) -> CanceledRun:
        """Ends its jobs, and refuses what it still sends. Any number of times. Raises NotFound, PermissionDenied."""
        path = _path(run_id, "/cancel")
        return cast(CanceledRun, self._sluice._run(_of(self._sluice._settings, "POST", path)))


class AsyncRuns:
    """`AsyncSluice.runs`. All of it raises SluiceError."""

    def __init__(self, sluice: AsyncSluice) -> None:
        self._sluice = sluice

    async def create(
        self,
        run_id: str | None = None,
        *,
        budget: RunBudget | None = None,
        metadata: Mapping[str, str] | None = None,
        loop_guard: bool = True,
    ) -> Run:
        """A run without a budget need not be begun: its first job does. `run_exists`: it is there with another one."""
        body = _asked(run_id, budget, metadata, loop_guard)
        return cast(Run, await self._sluice._run(_of(self._sluice._settings, "POST", "/v1/runs", body)))

    async def get(self, run_id: str, *, limit: int | None = None, after: str | None = None) -> RunPage:
        """With its sums, and a page of its jobs (100; at most 1,000). Raises NotFound."""
        path = query(_path(run_id), limit=limit, after=after)
        return cast(RunPage, await self._sluice._run(_of(self._sluice._settings, "GET", path)))

    async def list(self, *, limit: int | None = None, after: str | None = None) -> RunList:
        """Newest first: 20 of them; at most 100."""
        path = query("/v1/runs", limit=limit, after=after)
        return cast(RunList, await self._sluice._run(_of(self._sluice._settings, "GET", path)))

    async def cancel(self, run_id: str) -> CanceledRun:
        """Ends its jobs, and refuses what it still sends. Any number of times. Raises NotFound, PermissionDenied."""
        path = _path(run_id, "/cancel")
        return cast(CanceledRun, await self._sluice._run(_of(self._sluice._settings, "POST", path)))
