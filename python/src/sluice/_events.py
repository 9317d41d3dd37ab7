"""What a job's log tells: PROTOCOL.md sections 1 and 5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Union

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Chunk:
    """A piece of the answer: `text` of the first choice ('' if it has none), and the chunk as the provider sent it."""

    type: ClassVar[Literal["chunk"]] = "chunk"
    cursor: str
    text: str
    chunk: Json = field(repr=False)


@dataclass(frozen=True)
class Attempt:
    """A call of a model begins. mode: `first`, `continue` (prolongs the text) or `restart` (follows a reset)."""

    type: ClassVar[Literal["attempt"]] = "attempt"
    cursor: str
    n: int
    mode: str
    deployment: str
    text: ClassVar[str] = ""


@dataclass(frozen=True)
class Reset:
    """All text so far is withdrawn; the answer begins anew."""

    type: ClassVar[Literal["reset"]] = "reset"
    cursor: str
    reason: str
    text: ClassVar[str] = ""


@dataclass(frozen=True)
class Gap:
    """All text so far is void, because the server's log was rewritten; everything follows from the start."""

    type: ClassVar[Literal["gap"]] = "gap"
    reason: str
    text: ClassVar[str] = ""


@dataclass(frozen=True)
class Usage:
    type: ClassVar[Literal["usage"]] = "usage"
    cursor: str
    chunk: Json
    text: ClassVar[str] = ""


@dataclass(frozen=True)
class End:
    """
    Nothing follows. state: `done`, `failed`, `canceled` or `expired`; cut: the limit that ended a done answer early;
    timing: ms.
    """

    type: ClassVar[Literal["end"]] = "end"
    cursor: str
    state: str
    error: Json | None
    cut: Json | None
    usage: Json | None
    timing: Json | None
    text: ClassVar[str] = ""


Event = Union[Chunk, Attempt, Reset, Gap, Usage, End]
