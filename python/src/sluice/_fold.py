"""
Chunks of a streamed answer folded into the message that they are pieces of: the same table as the server's
(src/core/fold.ts), one chunk at a time, linear in what it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

JsonObject = dict[str, Any]

# A call is inserted before at most this many others: far more than occurs, and a bound for reversed indexes
MAX_SHIFT = 128
_PIECES = frozenset({"content", "refusal", "arguments", "transcript", "text", "thinking", "summary"})
_NAMED = frozenset({"function", "custom", "function_call"})
_LABELS = frozenset({"type", "format", "role"})
_PART_LISTS = frozenset({"content", "thinking"})
_MAX_SAFE = 2**53 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Text:
    """A text that grows: joined when it is read, so that a piece costs its own length."""

    __slots__ = ("_half", "_pieces")

    def __init__(self, piece: str) -> None:
        self._pieces: list[str] = []
        self._half = ""
        self.add(piece)

    def add(self, piece: str) -> None:
        whole, self._half = _whole(self._half + piece)
        self._pieces.append(whole)

    def __str__(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def __bool__(self) -> bool:
        return self._half != "" or any(self._pieces)


def _whole(text: str) -> tuple[str, str]:
    """
    JSON may escape a character as two halves, in two chunks. The text, and a half at its end that waits for the other;
    halves that are alone are U+FFFD, as they can't be encoded.
    """
    end = len(text) - 1 if text[-1:] and "\ud800" <= text[-1] <= "\udbff" else len(text)
    whole, half = text[:end], text[end:]
    if whole.isascii() or _SURROGATE.search(whole) is None:
        return whole, half
    return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), half


def _plain(value: Any) -> Any:
    if isinstance(value, _Text):
        return str(value)
    if isinstance(value, str):
        whole, half = _whole(value)
        return whole + ("\ufffd" if half else "")
    if isinstance(value, dict):
        return {_plain(key): _plain(member) for key, member in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _is_piece(key: str, owner: str) -> bool:
    return (
        key in _PIECES
        or key.startswith("reasoning")
        or (key == "data" and owner == "audio")
        or (key == "input" and owner == "custom")
    )


def index_of(value: Any) -> int | None:
    """Some upstreams write indexes as text."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"-?[0-9]{1,15}", value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or abs(value) > _MAX_SAFE:
        return None
    return int(value) if value == int(value) else None


def _says_nothing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, _Text) and not value)


def _shows(delta: JsonObject, owner: str = "") -> bool:
    """Does it show anything to a reader: text, reasoning, a call, an image, a sound?"""
    for key, value in delta.items():
        if isinstance(value, (str, _Text)):
            if value and (_is_piece(key, owner) or owner in _NAMED):
                return True
        elif isinstance(value, list):
            if any(_item_shows(item) for item in value):
                return True
        elif isinstance(value, dict) and _shows(value, key):
            return True
    return False


def _item_shows(item: Any) -> bool:
    if isinstance(item, (str, _Text)):
        return bool(item)
    if isinstance(item, list):
        return any(_item_shows(one) for one in item)
    return isinstance(item, dict) and any(key not in _LABELS and _item_shows(value) for key, value in item.items())


class _Input:
    """Follows a call's arguments to the end of their JSON object, each char once."""

    def __init__(self) -> None:
        self.begun = False
        self.whole = False
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def add(self, piece: str) -> None:
        for c in piece:
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                if c == "\\":
                    self._escaped = True
                elif c == '"':
                    self._in_string = False
            elif c == '"':
                self._in_string = True
            elif c in "{[":
                self._depth += 1
            elif c in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self.whole = True
        if piece:
            self.begun = True


class _Call:
    def __init__(self, index: int) -> None:
        self.index = index
        self.value: JsonObject = {}
        self.input = _Input()


class _Items(list[Any]):
    """A list whose items may be continued by index."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        super().__init__(items)
        self.by_index: dict[int, JsonObject] = {}


class MessageFold:
    """One choice's message."""

    def __init__(self) -> None:
        self._message: JsonObject = {"role": "assistant", "content": None}
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int, _Call] = {}
        self._last_call: _Call | None = None
        self._half = ""

    @property
    def message(self) -> JsonObject:
        """A copy of it so far. Its tool calls are in order and have no `index`, as in a whole message."""
        return dict(_plain(self._message))

    @property
    def text(self) -> str:
        content = self._message.get("content")
        if isinstance(content, list):
            return "".join(str(part["text"]) for part in content if _is_text_part(part))
        return "" if content is None else str(content)

    def shown(self, text: str) -> str:
        """What can be shown of the next piece of text: the half of a character waits for the other."""
        whole, self._half = _whole(self._half + text)
        return whole

    def delta(self, delta: JsonObject) -> None:
        """Adds a piece."""
        self._add(delta, False)

    def whole(self, message: JsonObject) -> None:
        """Takes the message of a whole answer, unless pieces were shown: its calls are all there, one an item."""
        if not _shows(self._message):
            self._add(message, True)

    def _add(self, piece: JsonObject, whole: bool) -> None:
        for key, value in piece.items():
            if key == "role":
                if not _says_nothing(value):
                    self._message["role"] = "assistant"
            elif key != "tool_calls":
                self._join(self._message, key, value, "")
            else:
                for item in value if isinstance(value, list) else [value]:
                    if isinstance(item, dict):
                        self._add_call(item, whole)

    # ------------------------------------------------------------ tool calls

    def _add_call(self, item: JsonObject, whole: bool) -> None:
        given = item.get("id")
        is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
        call_id = str(given) if (isinstance(given, str) and given != "") or is_number else None
        index = index_of(item.get("index"))
        call = (None if whole else self._call_of(call_id, index, item)) or self._begin(index)
        self._last_call = call
        if call_id is not None:
            call.value["id"] = call_id
            self._by_id[call_id] = call
        elif given == "" and call.value.get("id") is None:
            call.value["id"] = ""  # so that the member is there
        for key, value in item.items():
            if key not in ("id", "index"):
                self._join(call.value, key, value, "tool_calls")
        call.input.add(_input_of(item))

    def _call_of(self, call_id: str | None, index: int | None, item: JsonObject) -> _Call | None:
        """
        The call that a piece continues; None: it begins another. An id is more reliable than an index, an index than
        nothing.
        """
        known = None if call_id is None else self._by_id.get(call_id)
        if known is not None:
            return None if index is not None and index != known.index and _begins_another(known, item) else known
        call = self._last_call if index is None else self._by_index.get(index)
        if call is None or (call_id is not None and not _says_nothing(call.value.get("id"))):
            return None
        return None if _begins_another(call, item) else call

    def _begin(self, index: int | None) -> _Call:
        calls = self._calls
        call = _Call(index if index is not None else (calls[-1].index if calls else -1) + 1)
        at = len(calls)
        first = max(0, at - MAX_SHIFT)
        while at > first and calls[at - 1].index > call.index:
            at -= 1
        calls.insert(at, call)
        if len(calls) == 1:
            self._message["tool_calls"] = []
        self._message["tool_calls"].insert(at, call.value)
        self._by_index[call.index] = call
        return call

    # ------------------------------------------------------------ members

    def _join(self, into: JsonObject, key: str, value: Any, owner: str) -> None:
        if key == "__proto__":  # as the server does
            return
        old = into.get(key)
        if value is None:
            into.setdefault(key, None)
        elif isinstance(value, str):
            if key == "name" and owner in _NAMED:
                into[key] = _join_name(str(old) if isinstance(old, (str, _Text)) else "", value)
            elif not _is_piece(key, owner):
                if value != "" or _says_nothing(old):
                    into[key] = value
            elif isinstance(old, list):
                if value != "":
                    self._join_item(old, {"type": "text", "text": value}, key)
            elif isinstance(old, _Text):
                old.add(value)
            else:
                into[key] = _Text(old + value if isinstance(old, str) else value)
        elif isinstance(value, list):
            items = old if isinstance(old, list) else _Items()
            if isinstance(old, (str, _Text)) and old:
                items.append({"type": "text", "text": _Text(str(old))})
            into[key] = items
            for item in value:
                self._join_item(items, item, key)
        elif isinstance(value, dict):
            members = old if isinstance(old, dict) else {}
            into[key] = members
            for name, member in value.items():
                self._join(members, name, member, key)
        else:
            into[key] = value

    def _join_item(self, items: list[Any], item: Any, owner: str) -> None:
        if not isinstance(item, (dict, list)):
            items.append(item)
            return
        known = _item_of(items, item, owner) if isinstance(item, dict) else None
        if known is not None and isinstance(item, dict):
            for key, value in item.items():
                self._join(known, key, value, owner)
            return
        holder: JsonObject = {}
        self._join(holder, "item", item, owner)  # a copy
        items.append(holder.get("item"))
        if isinstance(item, dict):
            _remember(items, item)


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), (str, _Text))


def _item_of(items: list[Any], item: JsonObject, owner: str) -> JsonObject | None:
    index = index_of(item.get("index"))
    if index is not None:
        return items.by_index.get(index) if isinstance(items, _Items) else None
    last = items[-1] if items else None
    is_text = item.get("type") in ("text", "thinking")
    continues = owner in _PART_LISTS and is_text and isinstance(last, dict) and last.get("type") == item["type"]
    return last if continues else None


def _remember(items: list[Any], item: JsonObject) -> None:
    index = index_of(item.get("index"))
    if index is not None and isinstance(items, _Items) and isinstance(items[-1], dict):
        items.by_index[index] = items[-1]


def _begins_another(call: _Call, item: JsonObject) -> bool:
    """A name comes before its arguments. A later one is another call's, or a repetition while these are unfinished."""
    name = _name_of(item)
    if name == "" or not call.input.begun:
        return False
    return name != _name_of(call.value) or (call.input.whole and _input_of(item).strip() != "")


def _member_of(call: JsonObject, function_key: str, custom_key: str) -> str:
    made, custom = call.get("function"), call.get("custom")
    if isinstance(made, dict):
        value = made.get(function_key)
    else:
        value = custom.get(custom_key) if isinstance(custom, dict) else ""
    return str(value) if isinstance(value, (str, _Text)) else ""


def _name_of(call: JsonObject) -> str:
    return _member_of(call, "name", "name")


def _input_of(call: JsonObject) -> str:
    return _member_of(call, "arguments", "input")


def _join_name(name: str, piece: str) -> str:
    """Upstreams send it in pieces, whole in each chunk, or longer with each chunk."""
    return name if piece == "" else piece if piece.startswith(name) else name + piece


def first_choice(chunk: Any) -> JsonObject | None:
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if not isinstance(choices, list):
        return None
    for choice in choices:
        if isinstance(choice, dict) and choice.get("index") in (0, "0", None):
            return choice
    return None


def text_of(chunk: Any) -> str:
    """The text of a chunk's first choice; '' when it has none."""
    choice = first_choice(chunk) or {}
    delta, message = choice.get("delta"), choice.get("message")
    piece = delta if isinstance(delta, dict) else message if isinstance(message, dict) else {}
    content = piece.get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content if _is_text_part(part))
    return content if isinstance(content, str) else ""


def fold(into: MessageFold, chunk: Any) -> None:
    """Adds a chunk's first choice: a piece, or a whole answer."""
    choice = first_choice(chunk)
    if choice is None:
        return
    delta, message = choice.get("delta"), choice.get("message")
    if isinstance(delta, dict):
        into.delta(delta)
    elif isinstance(message, dict):
        into.whole(message)
