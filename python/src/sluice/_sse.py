"""Events of a text/event-stream, however its bytes are split (WHATWG HTML, section 9.2.6)."""

from __future__ import annotations

import re
from typing import NamedTuple

from ._errors import InvalidAnswer

# An answer that comes whole (a document, an embedding list) is one event
MAX_EVENT_BYTES = 256 << 20
_END_OF_LINE = re.compile(rb"\r\n|\n|\r")


class SseEvent(NamedTuple):
    id: str
    name: str
    data: str


class SseParser:
    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._held = 0
        self._after_cr = False
        self._id = ""
        self._name = ""
        self.retry_ms: int | None = None
        """What the server asked to wait before coming back."""

    def feed(self, piece: bytes) -> list[SseEvent]:
        """Each byte is looked at once. Raises InvalidAnswer for an event that no server of ours sends."""
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_cr = False
        if piece == b"":
            return []
        self._after_cr = piece.endswith(b"\r")
        self._held += len(piece)
        *lines, rest = _END_OF_LINE.split(piece)
        events: list[SseEvent] = []
        for line in lines:
            if self._line:
                line = b"".join([*self._line, line])
                self._line = []
            event = self._take(line)
            if event is not None:
                events.append(event)
        if rest:
            self._line.append(rest)
        if lines and not self._data:
            self._held = len(rest)
        if self._held > self._max_bytes:
            raise InvalidAnswer("The server sent an event that is too large.", code="invalid_answer")
        return events

    def _take(self, line: bytes) -> SseEvent | None:
        if line == b"":
            data, name = self._data, self._name
            self._data, self._name = [], ""
            if not data:
                return None
            return SseEvent(self._id, name or "message", b"\n".join(data).decode("utf-8", "replace"))
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"id":
            self._id = value.decode("utf-8", "replace")
        elif field == b"retry" and value.isdigit() and len(value) < 10:
            self.retry_ms = int(value)
        return None
