"""As main.ts, with the Python package: a plan, parts side by side, a report, revisions until the budget ends them.

    SLUICE_API_KEY=sk-sluice-... python3 examples/runs/main.py [STEPS]
"""

import asyncio
import os
import sys

from sluice import AsyncJob, AsyncSluice, SluiceError

MODEL = os.environ.get("SLUICE_MODEL", "demo")


def output(job: AsyncJob) -> dict:
    """What a job answered stands where this is. Sluice puts it there when the job is done: nobody here waits for it."""
    return {"type": "job_output", "job": job.id}


def ask(*content: object) -> dict:
    parts = [{"type": "text", "text": each} if isinstance(each, str) else each for each in content]
    return {"model": MODEL, "max_tokens": 60, "messages": [{"role": "user", "content": parts}]}


async def work(sluice: AsyncSluice, run: str) -> None:
    plan = await sluice.submit(ask("Plan a guide to the rivers of Europe: one line for each part."), run=run)
    # All of it is in line at once, in the order of its dependencies
    parts = await asyncio.gather(*[
        sluice.submit(ask(f'Write the part "{part}" of this plan:', output(plan)), parent=plan.id, after=[plan.id])
        for part in ("The north", "The south", "The east", "The west")
    ])
    joined = ask("Make one guide of these parts:", *[output(part) for part in parts])
    report = await sluice.submit(joined, parent=plan.id, after=[part.id for part in parts])
    guide = (await report.result(timeout=120))["choices"][0]["message"]["content"]
    print(f"The guide has {len(guide)} characters, from {len(parts)} parts.")

    # An agent that is never content
    draft, revisions = report, 0
    while True:
        try:
            again = ask(f"Find a fault, and mend it ({revisions + 1}):", output(draft))
            revision = await sluice.submit(again, parent=draft.id, after=[draft.id])
            await revision.result(timeout=120)
        except SluiceError as error:
            if error.code != "run_budget_exceeded":
                raise
            print(f"After {revisions} revisions its budget ended it: {error.message}")
            return
        draft, revisions = revision, revisions + 1


async def show(sluice: AsyncSluice, run: str) -> None:
    """Its jobs, each under the one that asked for it."""
    page = await sluice.runs.get(run, limit=1000)
    totals = page["totals"]
    print(f"Run {run}: {totals['jobs']} jobs, {totals['steps']} steps, {totals['total_tokens']} tokens.")
    for job in page["jobs"]:
        told = job["error"] or f"{job['completion_tokens'] or 0} tokens"
        print(f"{'  ' * job['depth']}{job['id'][-6:]} {job['state']}, {told}")


async def main(steps: int) -> None:
    async with AsyncSluice() as sluice:
        run = await sluice.runs.create(budget={"steps": steps, "tokens": 200_000}, metadata={"task": "guide"})
        await work(sluice, run["id"])
        await show(sluice, run["id"])

        other = (await sluice.runs.create(budget={"steps": 100}))["id"]
        root = await sluice.submit(ask("Write all that there is to say of rivers. demo: tokens=4000"), run=other)
        for _ in range(5):
            await sluice.submit(ask("Say it shorter:", output(root)), parent=root.id, after=[root.id])
        canceled = (await sluice.runs.cancel(other))["canceled"]
        print(f"Run {other} was canceled, with {canceled} jobs.")


if __name__ == "__main__":
    if not os.environ.get("SLUICE_API_KEY"):
        sys.exit("Set SLUICE_API_KEY to an API key; Sluice prints one at its first start.")
    try:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
    except SluiceError as error:
        sys.exit(str(error))
