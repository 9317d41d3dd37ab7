"""What needs no server. `python -m unittest discover -s python/tests`, with python/src on PYTHONPATH."""

import json
import pickle
import random
import time
import unittest

from sluice import (
    AsyncSluice,
    Chunk,
    ConnectionLost,
    End,
    Gap,
    InvalidAnswer,
    MessageFold,
    RateLimited,
    Reset,
    Sluice,
    SluiceError,
    WaitTimeout,
)
from sluice._errors import error_of_answer, error_of_job, retry_after
from sluice._reading import Reading
from sluice._settings import Settings, job_body
from sluice._sse import SseEvent, SseParser
from sluice._steps import Deadline, Emit, Patience, Pause, Read, Request, Response, encoded, follow, submit

STREAM = (
    ': hb\r\nid: 1-1\r\nevent: chunk\r\ndata: {"a":\r\ndata: 1}\r\n\r\n'
    "retry: 70\n\nid: 1-2\nevent:end\ndata:{}\n\n\rid: 1-3\rdata: é\r\runfinished"
).encode()
EVENTS = [SseEvent("1-1", "chunk", '{"a":\n1}'), SseEvent("1-2", "end", "{}"), SseEvent("1-3", "message", "é")]
SETTINGS = Settings("http://127.0.0.1:1", "sk-sluice-x", 30, 60)
JSON = {"content-type": "application/json"}


def event(cursor: str, name: str = "chunk", **data: object) -> SseEvent:
    return SseEvent(cursor, name, json.dumps(data))


def piece(text: str) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


def frame(cursor: str, name: str = "chunk", **data: object) -> bytes:
    return f"id: {cursor}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()


def opened(*pieces: bytes) -> list[object]:
    return [Response(200, {"content-type": "text/event-stream"}, b""), *pieces]


class Sse(unittest.TestCase):
    def test_however_it_is_split(self) -> None:
        rng = random.Random(7)
        for _ in range(500):
            parser, events, at = SseParser(), [], 0
            while at < len(STREAM):
                size = rng.choice([1, 1, 2, 3, 5, 40])
                events += parser.feed(STREAM[at : at + size])
                at += size
            self.assertEqual(events, EVENTS)
            self.assertEqual(parser.retry_ms, 70)

    def test_an_event_is_bounded(self) -> None:
        for piece_ in (b"data: aaaaaaa\n", b"aaaaaaaaaaaaaaaa"):
            parser = SseParser(max_bytes=1_000)
            with self.assertRaises(InvalidAnswer):
                for _ in range(100):
                    parser.feed(piece_)
        parser = SseParser(max_bytes=1_000)
        for _ in range(1_000):  # many small ones are not
            self.assertEqual(len(parser.feed(b"data: aaaaaaa\n\nda")), 1)
            parser.feed(b"ta: b\n\n: comment\n")


class Applying(unittest.TestCase):
    def test_each_once_and_in_order(self) -> None:
        reading = Reading()
        self.assertEqual(reading.apply(event("1-1", **piece("a"))), Chunk("1-1", "a", piece("a")))
        self.assertIsNone(reading.apply(event("1-1", **piece("a"))))
        self.assertIsNone(reading.apply(event("1-2", "news from the future")))
        with self.assertRaises(ConnectionLost):
            reading.apply(event("1-4", **piece("c")))
        reading.apply(event("2-3", **piece("b")))
        self.assertEqual((reading.answer.text, reading.cursor), ("ab", "2-3"))

    def test_what_is_withdrawn(self) -> None:
        reading = Reading()
        reading.apply(event("1-1", **piece("a")))
        self.assertEqual(reading.apply(event("1-2", "reset", reason="r")), Reset("1-2", "r"))
        self.assertEqual(reading.answer.text, "")
        reading.apply(event("1-3", **piece("b")))
        self.assertEqual(reading.apply(event("1-3", "gap", reason="epoch_changed")), Gap("epoch_changed"))
        self.assertEqual((reading.answer.text, reading.cursor), ("", None))
        reading.apply(event("9-1", **piece("c")))
        end = reading.apply(event("9-2", "end", state="done"))
        self.assertEqual(end, End("9-2", "done", None, None, None, None))
        self.assertEqual(reading.answer.text, "c")

    def test_what_is_not_ours(self) -> None:
        for raw in (SseEvent("1-1", "chunk", "[]"), SseEvent("1-1", "chunk", "{"), event("x"), event("1-" + "9" * 40)):
            with self.assertRaises(InvalidAnswer):
                Reading().apply(raw)
        for depth in (150, 900, 100_000):
            for left, right in (('{"a":', "}"), ("[", "]")):
                deep = '{"choices":[{"delta":{"x":' + left * depth + "1" + right * depth + "}}]}"
                with self.assertRaises(InvalidAnswer):
                    Reading().apply(SseEvent("1-1", "chunk", deep))
        wide = Reading()
        wide.apply(event("1-1", choices=[{"delta": {"x": [[{}] * 9] * 900}}]))
        self.assertEqual(len(wide.answer.message["x"]), 900)
        for cursor in ("", "x", "1-", "-1", "1-1\n", "१-१"):
            with self.assertRaises(ValueError):
                Reading(cursor)


class Following(unittest.TestCase):
    def drive(
        self, outcomes: list[object], patience: float = 60, after: str | None = None
    ) -> tuple[list[object], list[object]]:
        """What a procedure asks for, handed these outcomes in turn; events and other effects."""
        settings = Settings("http://127.0.0.1:1", "sk-sluice-x", 30, patience)
        procedure = follow(settings, "job_1", Reading(after), Deadline(None))
        effects: list[object] = []
        events: list[object] = []
        outcome: object = None
        while True:
            try:
                effect = procedure.throw(outcome) if isinstance(outcome, Exception) else procedure.send(outcome)
            except StopIteration:
                return events, effects
            outcome = None
            if isinstance(effect, Emit):
                events.append(effect.event)
            else:
                effects.append(effect)
                if isinstance(effect, (Read, Request)):
                    outcome = outcomes.pop(0)

    def test_goes_on_after_its_cursor(self) -> None:
        events, effects = self.drive(
            [
                *opened(b"retry: 10\n\n" + frame("1-1", **piece("a")), b""),
                ConnectionLost("x", code="connection_lost", retryable=True),
                Response(503, {"x-should-retry": "true", "retry-after-ms": "40"}, b""),
                *opened(frame("1-1", **piece("a")) + frame("1-2", **piece("b")) + frame("1-4", **piece("d"))),
                *opened(frame("1-3", "end", state="done") + frame("1-4", **piece("after the end"))),
            ]
        )
        self.assertEqual([getattr(each, "cursor") for each in events], ["1-1", "1-2", "1-3"])
        asked = [each.headers.get("last-event-id") for each in effects if isinstance(each, Request)]
        self.assertEqual(asked, [None, "1-1", "1-1", "1-1", "1-2"])
        pauses = [each.seconds for each in effects if isinstance(each, Pause)]
        self.assertLessEqual(pauses[0], 0.01)  # within what `retry:` said
        self.assertGreaterEqual(pauses[2], 0.04)  # not before `retry-after`
        self.assertLessEqual(pauses[2], 0.048)

    def test_ends_where_nothing_is_left(self) -> None:
        nothing = Response(204, {}, b"")
        self.assertEqual(self.drive([nothing], after="1-2")[0], [])
        # No end was told, and the application knows of none
        for outcomes, after in (([nothing], None), ([*opened(frame("1-2", **piece("b")), b""), nothing], "1-1")):
            with self.assertRaises(InvalidAnswer):
                self.drive(outcomes, after=after)

    def test_does_not_come_back_for_ever(self) -> None:
        lost = ConnectionLost("x", code="connection_lost", retryable=True)
        with self.assertRaises(ConnectionLost):
            # A stream that opens each time, and tells nothing
            self.drive([*opened(b""), lost] * 10_000, patience=0.000_1)
        for status in (400, 401, 404, 410):
            with self.assertRaises(SluiceError) as raised:
                self.drive([Response(status, {}, b"{}")])
            self.assertEqual(raised.exception.status, status)
        with self.assertRaises(InvalidAnswer):
            self.drive([Response(200, {"content-type": "text/html"}, b"")])


class Waiting(unittest.TestCase):
    def test_pauses_grow_and_are_bounded(self) -> None:
        lost = ConnectionLost("x", code="connection_lost", retryable=True)
        longest = [0.0] * 12
        for _ in range(300):
            patience = Patience(1e6)
            for i in range(12):
                longest[i] = max(longest[i], patience.pause(lost))
        self.assertLessEqual(longest[0], 0.5)
        self.assertLessEqual(max(longest), 20)
        self.assertGreater(longest[11], 15)

    def test_what_cannot_be_waited_for(self) -> None:
        for error in (
            RateLimited("x", code="x", retryable=False),
            RateLimited("x", code="x", retryable=True, retry_after=61),
        ):
            with self.assertRaises(RateLimited):
                Patience(60).pause(error)
        with self.assertRaises(WaitTimeout):
            Deadline(-1).left(5)
        self.assertEqual(Deadline(None).left(5), 5)

    def test_retry_after(self) -> None:
        texts = {"2": 2, "0.5": 0.5, "-1": 0, "1e9": 86_400, "soon": None, "nan": None, "inf": None}
        for text, seconds in texts.items():
            self.assertEqual(retry_after({"retry-after": text}), seconds, text)
        self.assertEqual(retry_after({"retry-after": "9", "retry-after-ms": "1500"}), 1.5)
        self.assertEqual(retry_after({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}), 0)
        soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
        self.assertAlmostEqual(retry_after({"retry-after": soon}) or 0, 99, delta=3)


class Submitting(unittest.TestCase):
    def test_keys_are_minted_and_kept(self) -> None:
        keys = {job_body({}, {})["idempotency_key"] for _ in range(100)}
        self.assertEqual(len(keys), 100)
        self.assertEqual(job_body({}, {"idempotency_key": "mine"})["idempotency_key"], "mine")
        procedure = submit(SETTINGS, job_body({"n": 1}, {}))
        first = next(procedure)
        assert isinstance(first, Request)
        self.assertIsInstance(procedure.throw(ConnectionLost("x", code="x", retryable=True)), Pause)
        again = next(procedure)
        assert isinstance(again, Request)
        self.assertEqual(first.body, again.body)

    def test_what_is_no_json(self) -> None:
        circle: dict[str, object] = {}
        circle["x"] = circle
        for value in (float("nan"), {1, 2}, "\ud800", circle):
            with self.assertRaises(TypeError):
                next(submit(SETTINGS, {"x": value}))

    def test_what_is_no_job(self) -> None:
        for body in (b"", b"[]", b'{"id": 1}', b'{"id": ""}', b"<html>"):
            procedure = submit(SETTINGS, {})
            next(procedure)
            with self.assertRaises(InvalidAnswer):
                procedure.send(Response(200, JSON, body))


class Errors(unittest.TestCase):
    def test_can_be_sent_to_another_process(self) -> None:
        limit = {"error": {"message": "m", "code": "c", "limit": {"level": "key"}}}
        error = error_of_answer(429, {"x-should-retry": "true", "retry-after": "3", "x-request-id": "req_1"}, limit)
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(again), again.__dict__, str(again)), (RateLimited, error.__dict__, str(error)))

    def test_whatever_the_body_is(self) -> None:
        for body in (None, [], {}, {"error": 1}, {"error": {"message": 1, "code": [], "limit": 3}}):
            self.assertEqual(error_of_answer(500, {}, body).status, 500)
            self.assertIsInstance(error_of_job("job_1", "failed", body), SluiceError)

    def test_settings_that_cannot_be(self) -> None:
        for url in ("127.0.0.1:4100", "ftp://x", "http://", "http://user:secret@x", "http://x/?a=1"):
            with self.assertRaises(ValueError) as raised:
                Sluice(url, "sk-sluice-x")
            self.assertNotIn("secret", str(raised.exception))
        for key in ("", "a b", "a\nb", "ключ"):
            with self.assertRaises(ValueError):
                AsyncSluice("http://x", key)
        for timeout in (0, -1, float("inf"), True, "3"):
            with self.assertRaises(ValueError):
                Sluice("http://x", "sk-sluice-x", timeout=timeout)  # type: ignore[arg-type]
        for url in ("http://x/v1/", "http://x/v1", "http://x/", "http://x"):
            self.assertEqual(Settings(url, "k", 1, 1).base_url, "http://x")


class Folding(unittest.TestCase):
    def test_halves_of_a_character(self) -> None:
        reading = Reading()
        texts = []
        for n, text in enumerate(["a\ud83d", "", "\ude00b", "\ude00", "\ud83d", "c", "\ud83d"]):
            one = reading.apply(SseEvent(f"1-{n + 1}", "chunk", json.dumps(piece(text))))
            assert isinstance(one, Chunk)
            texts.append(one.text)
            reading.answer.text.encode()  # at any time
        self.assertEqual(texts, ["a", "", "\U0001f600b", "\ufffd", "", "\ufffdc", ""])
        self.assertEqual(reading.answer.text, "".join(texts))
        self.assertEqual(reading.answer.message["content"], reading.answer.text)
        answer = MessageFold()
        call = {"id": "x\ud83d", "function": {"name": "f", "arguments": '"\ud83d'}}
        answer.delta({"tool_calls": [call], "other": ["\ude00"], "\ude00": 1})
        for half in ("\ud83d", "\ude00"):
            answer.delta({"content": [{"type": "text", "text": half}]})
        answer.delta({"tool_calls": [{"function": {"arguments": '\ude00"'}}]})
        sent = json.loads(encoded({"model": "demo", "messages": [answer.message]}))
        self.assertEqual(sent["messages"][0]["tool_calls"][0]["function"]["arguments"], '"\U0001f600"')
        self.assertEqual(answer.text, "\U0001f600")

    def test_is_linear(self) -> None:
        fold = MessageFold()
        began = time.process_time()
        for _ in range(200_000):
            fold.delta({"content": "0123456789", "reasoning_content": "0123456789"})
        # Two seconds even on a slow machine; joining at each piece would copy 400 GB
        self.assertLess(time.process_time() - began, 30)
        self.assertEqual(len(fold.text), 2_000_000)


if __name__ == "__main__":
    unittest.main()
