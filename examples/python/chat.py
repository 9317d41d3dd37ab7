"""Two messages of one conversation over a WebSocket, without a library of ours: PROTOCOL.md section 6 in sixty lines.

    SLUICE_KEY=sk-sluice-... python3 chat.py "Tell me of rivers." "And of the sea?"
"""
import asyncio, json, os, random, sys, uuid, websockets

URL = os.environ.get("SLUICE_URL", "http://127.0.0.1:4100").replace("http", "ws", 1) + "/v1/ws"
KEY = os.environ.get("SLUICE_KEY") or sys.exit("Set SLUICE_KEY to an API key; Sluice prints one at its first start.")
CUT = os.environ.get("SLUICE_EXAMPLE_CUT")  # lose the connection once, to see that nothing is lost


async def chat(messages):
    conversation = f"python-{uuid.uuid4()}"
    # What is sent again after a cut must be the same: so the keys are made once
    submits = [{"t": "submit", "id": str(n), "conversation": conversation, "idempotency_key": str(uuid.uuid4()),
                "request": {"model": os.environ.get("SLUICE_MODEL", "demo"), "messages": [{"role": "user", "content": text}]}}
               for n, text in enumerate(messages)]
    jobs, cut = {}, bool(CUT)  # jobs in the order of their messages: id -> what is known of it

    def show():  # the first that has not been shown whole; frames of several jobs come in any order
        for job in jobs.values():
            print(job["text"][job["shown"]:], end="", flush=True)
            job["shown"] = len(job["text"])
            if job["end"] is None:
                return
            if not job["told"]:
                print(f"\n-- {job['end']['state']}, {(job['end'].get('timing') or {}).get('total_ms')} ms")
                job["told"] = True

    while len(jobs) < len(submits) or any(job["end"] is None for job in jobs.values()):
        try:
            async with websockets.connect(URL, subprotocols=["sluice.v1"], max_size=None) as socket:
                known = [{"job": i, **({"cursor": job["cursor"]} if job["cursor"] else {})} for i, job in jobs.items() if job["end"] is None]
                await socket.send(json.dumps({"t": "hello", "auth": {"key": KEY}, "jobs": known}))
                for submit in submits[len(jobs):]:  # those without an answer; the second waits for the first in its conversation
                    await socket.send(json.dumps(submit))
                async for text in socket:
                    frame = json.loads(text)
                    job = jobs.get(frame.get("job"))
                    if frame["t"] == "accepted":
                        jobs[frame["job"]] = {"cursor": None, "text": "", "shown": 0, "end": None, "told": False}
                    elif frame["t"] == "ev":
                        for choice in (c for event in frame["e"] for c in event.get("chunk", {}).get("choices", [])):
                            job["text"] += choice["delta"].get("content") or ""
                        job["cursor"] = frame["cursor"]
                    elif frame["t"] == "end":
                        job["end"] = frame
                    elif frame["t"] == "error":
                        sys.exit(frame["error"]["message"])
                    show()
                    if cut and frame["t"] == "ev" and frame["seq"] > 15:
                        cut = print("(cut; going on)", file=sys.stderr)
                        break
                    if len(jobs) == len(submits) and all(job["end"] for job in jobs.values()):
                        return
        except (OSError, websockets.exceptions.WebSocketException):
            await asyncio.sleep(random.uniform(0.1, 1))  # and come back, behind the cursors


asyncio.run(chat(sys.argv[1:] or ["Tell me of rivers.", "And of the sea?"]))
