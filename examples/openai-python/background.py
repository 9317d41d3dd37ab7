"""A long answer with the `openai` package, which a lost connection, or a lost program, doesn't lose.

    SLUICE_API_KEY=sk-sluice-... python3 background.py "Tell me of rivers."
    SLUICE_API_KEY=sk-sluice-... python3 background.py resp_... 40    # goes on after event 40, anywhere, at any time
"""
import os, sys, time, uuid
import openai


def follow(client, id=None, after=None, **request):
    """All events of a background response, each once. Raises what is refused, and seven failures in a row."""
    failures, headers = 0, {"idempotency-key": str(uuid.uuid4())}  # the same job, should it be sent again
    while True:
        try:
            stream = (client.responses.create(**request, background=True, stream=True, extra_headers=headers)
                      if id is None else client.responses.retrieve(id, stream=True, starting_after=after))
            for event in stream:
                after, failures = event.sequence_number, 0
                id = event.response.id if event.type == "response.created" else id
                yield event
                if event.type in ("response.completed", "response.incomplete", "response.failed"):
                    return
        except openai.APIStatusError as error:
            if error.response.headers.get("x-should-retry", str(error.status_code >= 502).lower()) == "false":
                raise
        except Exception as error:  # of the network, or of a proxy that ended the stream
            if type(error) is openai.APIError:  # the answer itself has failed
                raise
            print(f"(cut after event {after}: {type(error).__name__})", file=sys.stderr)
        failures += 1
        if failures > 6:
            raise TimeoutError(f"nothing new of {id} in seven tries; go on after event {after}")
        time.sleep(0.25 * 2**failures)


def main():
    client = openai.OpenAI(
        base_url=os.environ.get("SLUICE_URL", "http://127.0.0.1:4100") + "/v1",
        api_key=os.environ.get("SLUICE_API_KEY") or sys.exit("Set SLUICE_API_KEY: Sluice prints it at its start."),
    )
    said = sys.argv[1:] or ["Tell me of rivers."]
    if said[0].startswith("resp_"):
        events = follow(client, said[0], int(said[1]) if len(said) > 1 else None)
    else:
        events = follow(client, model=os.environ.get("SLUICE_MODEL", "demo"), input=said[0])
    try:
        for event in events:
            if event.type == "response.created":
                print(event.response.id, file=sys.stderr)
            elif event.type == "response.output_text.delta":
                print(event.delta, end="", flush=True)
            elif event.type == "response.completed":
                print(f"\n-- {event.response.usage.output_tokens} tokens")
            elif event.type in ("response.incomplete", "response.failed"):
                response = event.response
                sys.exit(f"\n-- {response.status}: {response.error.message if response.error else 'cut by a limit'}")
    except openai.APIConnectionError:
        sys.exit(f"{client.base_url} can't be reached.")
    except openai.APIError as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
