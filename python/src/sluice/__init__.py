"""
Jobs on Sluice: submitted once, each token read once over any number of cuts.

    from sluice import Sluice

    with Sluice("http://127.0.0.1:4100", api_key) as sluice:
        job = sluice.submit({"model": "demo", "messages": [{"role": "user", "content": "Hello"}]})
        for event in job.follow():
            print(event.text, end="")
"""

from ._aio import AsyncConversation, AsyncJob, AsyncSluice
from ._errors import (
    AuthenticationError,
    ConnectionLost,
    Gone,
    InvalidAnswer,
    InvalidRequest,
    JobCanceled,
    JobExpired,
    JobFailed,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    SluiceError,
    WaitTimeout,
)
from ._events import Attempt, Chunk, End, Event, Gap, Reset, Usage
from ._fold import MessageFold
from ._job import Content
from ._runs import (
    AsyncRuns,
    CanceledRun,
    ListedRun,
    Run,
    RunBudget,
    RunJob,
    RunList,
    RunPage,
    Runs,
    RunTotals,
)
from ._settings import JobOptions
from ._sync import Conversation, Job, Sluice

__all__ = [
    "AsyncConversation",
    "AsyncJob",
    "AsyncRuns",
    "AsyncSluice",
    "Attempt",
    "AuthenticationError",
    "CanceledRun",
    "Chunk",
    "ConnectionLost",
    "Content",
    "Conversation",
    "End",
    "Event",
    "Gap",
    "Gone",
    "InvalidAnswer",
    "InvalidRequest",
    "Job",
    "JobCanceled",
    "JobExpired",
    "JobFailed",
    "JobOptions",
    "ListedRun",
    "MessageFold",
    "NotFound",
    "PermissionDenied",
    "RateLimited",
    "Reset",
    "Run",
    "RunBudget",
    "RunJob",
    "RunList",
    "RunPage",
    "RunTotals",
    "Runs",
    "ServerError",
    "Sluice",
    "SluiceError",
    "Usage",
    "WaitTimeout",
]
