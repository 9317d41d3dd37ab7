"""Two messages of one conversation over a WebSocket, without a library of ours: PROTOCOL.md section 6 in sixty lines.

    SLUICE_API_KEY=sk-sluice-... python3 chat.py "Tell me of rivers." "And of the sea?"
"""
import asyncio, json, os, random, sys, uuid, websockets

URL = os.environ.get("SLUICE_URL", "http://127.0.0.1:4100").replace("http", "ws", 1) + "/v1/ws"
KEY = os.environ.get("SLUICE_API_KEY") or sys.exit("Set SLUICE_API_KEY; Sluice prints an API key at its first start.")
CUT = os.environ.get("SLUICE_EXAMPLE_CUT")  # lose the connection once, to see that nothing is lost


async def chat(messages):
    jobs = {}  # by id, in the order of their messages
    greeted, cut, conversation = False, bool(CUT), f"python-{uuid.uuid4()}"
    # What is sent again after a cut must be the same: so the keys are made once
    model = os.environ.get("SLUICE_MODEL", "demo")
    submits = [{"t": "submit", "id": str(n), "conversation": conversation, "idempotency_key": str(uuid.uuid4()),
                "request": {"model": model, "messages": [{"role": "user", "content": text}]}}
               for n, text in enumerate(messages)]

    def show():  # up to the first that has not been shown whole; frames of several jobs come in any order
        for job in jobs.values():
            end = "" if job["end"] is None or job["told"] else f"\n-- {job['end']}\n"
            print(job["text"][job["shown"]:], end=end, flush=True)
            job.update(shown=len(job["text"]), told=job["end"] is not None)
            if not job["told"]:
                return

    while len(jobs) < len(submits) or not all(job["end"] for job in jobs.values()):
        try:
            async with websockets.connect(URL, subprotocols=["sluice.v1"], max_size=None) as socket:
                known = [{"job": id, **({"cursor": job["cursor"]} if job["cursor"] else {})}
                         for id, job in jobs.items() if not job["end"]]
                for frame in [{"t": "hello", "auth": {"key": KEY}, "jobs": known}, *submits[len(jobs):]]:
                    await socket.send(json.dumps(frame))
                async for text in socket:
                    frame = json.loads(text)
                    job, kind = jobs.get(frame.get("job")), frame["t"]
                    greeted = greeted or kind == "welcome"
                    if kind == "accepted":
                        jobs[frame["job"]] = {"cursor": None, "text": "", "shown": 0, "end": None, "told": False}
                    elif kind == "ev":
                        job["cursor"] = frame["cursor"]
                        for event in frame["e"]:
                            if "reset" in event:  # what was shown is withdrawn
                                job.update(text="\n-- anew\n", shown=0)
                            for choice in event.get("chunk", {}).get("choices", []):
                                job["text"] += choice["delta"].get("content") or ""
                    elif kind == "gap":
                        job.update(text="\n-- anew\n", shown=0)
                    elif kind == "end":
                        job["end"] = frame["state"]
                    elif kind == "error":
                        sys.exit(frame["error"]["message"])
                    show()
                    over = len(jobs) == len(submits) and all(job["end"] for job in jobs.values())
                    if over or (cut and kind == "ev" and frame["seq"] > 15):
                        cut = cut and print("(cut; coming back)", file=sys.stderr)
                        break
        except (OSError, websockets.WebSocketException) as error:
            closed = getattr(error, "rcvd", None)  # its code says whether to come back
            if not greeted or (closed and closed.code in (1002, 1007, 1008, 1009, 4400, 4401, 4403, 4404)):
                sys.exit(closed.reason if closed else f"{URL} can't be reached: {error}")
            await asyncio.sleep(random.uniform(0.1, 1))


asyncio.run(chat(sys.argv[1:] or ["Tell me of rivers.", "And of the sea?"]))
