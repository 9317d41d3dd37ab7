"""What the two kinds of job have in common: all that asks nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ._errors import error_of_job
from ._events import End, Event
from ._reading import Reading


@dataclass(frozen=True)
class Content:
    """What a job has made: the bytes of a sound or an image, and their type, such as "audio/mpeg"."""

    data: bytes = field(repr=False)
    content_type: str


class JobView:
    """A job as last told, and the answer as far as it was read."""

    def __init__(self, view: dict[str, Any]) -> None:
        self._view = view
        self._reading = Reading()

    @property
    def id(self) -> str:
        return str(self._view["id"])

    @property
    def state(self) -> str:
        """`queued`, `delayed`, `waiting`, `leased`, `done`, `failed`, `canceled` or `expired`, as last told."""
        end = self._reading.end
        return end.state if end is not None else str(self._view.get("state", "unknown"))

    @property
    def position(self) -> int | None:
        """In line, 1 = next, as last told; None: it doesn't wait."""
        queue = None if self._reading.end is not None else self._view.get("queue")
        position = queue.get("position") if isinstance(queue, dict) else None
        return position if isinstance(position, int) else None

    @property
    def view(self) -> dict[str, Any]:
        """All that the server last told of it (PROTOCOL.md, section 4)."""
        return self._view

    @property
    def cursor(self) -> str | None:
        """Of the last event that was read: give it as `after` to go on there."""
        return self._reading.cursor

    @property
    def text(self) -> str:
        """The text as far as it was read, joined when it is asked for."""
        return self._reading.answer.text

    @property
    def message(self) -> dict[str, Any]:
        """The first choice's message as far as it was read, tool calls included; ready to be sent back."""
        return self._reading.answer.message

    @property
    def usage(self) -> Any:
        """{prompt_tokens, completion_tokens, total_tokens, estimated}; None: it isn't known yet."""
        end = self._reading.end
        return self._view.get("usage") if end is None else end.usage

    @property
    def cuts(self) -> int:
        """Connections that were lost while it was read."""
        return self._reading.cuts

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state}>"

    def _read_from(self, after: str | None) -> Reading:
        """A new reading; the answer goes on where it was, if it is at that cursor."""
        known = self._reading
        if known.end is not None:
            self._view = {**self._view, "state": known.end.state, "usage": known.end.usage}
        reading = Reading(after, known.answer if after is not None and after == known.cursor else None)
        self._reading = reading
        return reading

    def _check(self, event: Event) -> None:
        """Raises what the job failed with."""
        if isinstance(event, End) and event.state != "done":
            raise error_of_job(self.id, event.state, event.error)
