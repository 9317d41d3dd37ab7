"""One reading of a job's log: what has come, applied once and in order."""

from __future__ import annotations

import json
import re
from typing import Any

from ._errors import ConnectionLost, InvalidAnswer
from ._events import Attempt, Chunk, End, Event, Gap, Reset, Usage
from ._fold import MessageFold, fold, text_of
from ._sse import SseEvent

MAX_DEPTH = 100
_CURSOR = re.compile(r"(?:[0-9]{1,16}-)?([0-9]{1,16})")


class Reading:
    def __init__(self, cursor: str | None = None, answer: MessageFold | None = None) -> None:
        """`answer`: as it was at the cursor. Raises ValueError for a cursor that is none."""
        if cursor is not None and _CURSOR.fullmatch(cursor) is None:
            raise ValueError(f'A cursor is "<epoch>-<number>", not {cursor[:40]!r}.')
        self.cursor = cursor
        self.answer = answer or MessageFold()
        self.end: End | None = None
        self.cuts = 0
        """Connections that were lost."""

    def apply(self, raw: SseEvent) -> Event | None:
        """None: it has been applied, or it is of a kind unknown here. Raises ConnectionLost for a hole."""
        data = _object(raw.data)
        if raw.name == "gap":
            self.answer = MessageFold()
            self.cursor = None
            return Gap(_string(data, "reason"))
        number, last = _number(raw.id), 0 if self.cursor is None else _number(self.cursor)
        if number <= last:
            return None
        if number != last + 1:
            raise ConnectionLost("Events are missing.", code="connection_lost", retryable=True)
        event = self._event(raw, data)
        self.cursor = raw.id
        return event

    def _event(self, raw: SseEvent, data: dict[str, Any]) -> Event | None:
        if raw.name == "chunk":
            fold(self.answer, data)
            return Chunk(raw.id, self.answer.shown(text_of(data)), data)
        if raw.name == "attempt":
            n = data.get("n")
            return Attempt(raw.id, n if isinstance(n, int) else 0, _string(data, "mode"), _string(data, "deployment"))
        if raw.name == "reset":
            self.answer = MessageFold()
            return Reset(raw.id, _string(data, "reason"))
        if raw.name == "usage":
            return Usage(raw.id, data)
        if raw.name == "end":
            state = _string(data, "state")
            self.end = End(
                raw.id,
                state,
                _member(data, "error"),
                _member(data, "cut"),
                _member(data, "usage"),
                _member(data, "timing"),
            )
            return self.end
        return None


def _object(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict) and not _is_too_deep(text, data):
        return data
    raise InvalidAnswer("An event is not a JSON object, or nested too deeply.", code="invalid_answer")


def _is_too_deep(text: str, data: dict[str, Any]) -> bool:
    """Deeper than what folds it recurses."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    level: list[Any] = [data]
    for _ in range(MAX_DEPTH):
        lists = [each.values() if isinstance(each, dict) else each for each in level]
        level = [item for each in lists for item in each if isinstance(item, (dict, list))]
        if not level:
            return False
    return True


def _number(cursor: str) -> int:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidAnswer("An event has no cursor.", code="invalid_answer")
    return int(match[1])


def _string(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _member(data: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = data.get(name)
    return value if isinstance(value, dict) else None
