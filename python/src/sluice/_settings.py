"""Where the server is, who asks, and how long; what may be asked for."""

from __future__ import annotations

import math
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypedDict
from urllib.parse import urlsplit

USER_AGENT = "sluice-python/0.1.0"


class HasId(Protocol):
    """A job."""

    @property
    def id(self) -> str: ...


class JobOptions(TypedDict, total=False):
    """PROTOCOL.md, section 2. The server refuses one that it doesn't know, and names the closest."""

    endpoint: str
    """Where such a request is posted, if not to /v1/chat/completions: "/v1/embeddings"."""
    conversation: str
    lane: str
    pool: str
    priority: Literal["high", "normal", "low"]
    delay_ms: int
    deadline_ms: int
    idempotency_key: str
    """Minted where none is given."""
    policy: Literal["reject", "wait"]
    run: str
    """An agent's: all jobs of a run share its budget. See `Sluice.runs`."""
    parent: str | HasId
    """The job that asked for it, or its id; it is in the same run."""
    after: Sequence[str | HasId]
    """Jobs, or their ids: it waits until all of them are done."""
    webhook: str
    """The id of one, which is told of its end."""
    tags: Sequence[str]
    on_worker_loss: Literal["continue", "restart", "fail"]
    on_disconnect: Literal["cancel", "continue"]
    cache: bool | Literal["no-store", "no-cache"]
    metadata: Mapping[str, str]
    traceparent: str


def job_body(request: Mapping[str, Any], options: JobOptions) -> dict[str, Any]:
    """Raises TypeError for a parent that is none: it would be in no run, and under no budget."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if "parent" in options:
        given["parent"] = _id_of(options["parent"])
    if options.get("after") is not None:
        given["after"] = [_id_of(each) for each in options["after"]]
    return {"request": request, "idempotency_key": f"py-{uuid.uuid4()}", **given}


def _id_of(job: object) -> str:
    job_id = job if isinstance(job, str) else getattr(job, "id", None)
    if isinstance(job_id, str):
        return job_id
    raise TypeError(f"parent and after take jobs and their ids, not {type(job).__name__}.")


class Settings:
    """Shows no key."""

    def __init__(self, base_url: str | None, api_key: str | None, timeout: float, patience: float) -> None:
        self.base_url = _base_url(base_url or os.environ.get("SLUICE_URL") or "http://127.0.0.1:4100")
        self._key = _key(api_key or os.environ.get("SLUICE_API_KEY"))
        self.timeout = _seconds("timeout", timeout)
        self.patience = _seconds("patience", patience)

    def headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self._key}",
            "user-agent": USER_AGENT,
            "accept": "application/json",
            # A stream that is compressed comes in lumps
            "accept-encoding": "identity",
        }


def _base_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ValueError("base_url must be an address such as http://127.0.0.1:4100.")
    if url.username is not None or url.password is not None:
        raise ValueError("base_url must not hold a name or a password: give api_key.")
    return f"{url.scheme}://{url.netloc}{re.sub(r'(/v1)?/*$', '', url.path)}"


def _key(key: str | None) -> str:
    if key is None:
        raise ValueError("Give api_key, or set SLUICE_API_KEY; Sluice prints an API key at its first start.")
    if re.fullmatch(r"[\x21-\x7e]+", key) is None:
        raise ValueError("api_key has characters that no key has: is there a space or a line break in it?")
    return key


def _seconds(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be a number of seconds above 0.")
    return float(value)
