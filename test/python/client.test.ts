/** The Python package against a real server: each case from threads and from asyncio. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from '../e2e/server.ts'
import { freePort } from '../free-port.ts'
import { busy, html, type Network, startNetwork } from './network.ts'
import { interpreterWith, type Ran, ROOT, type Running, start } from './python.ts'

const python = interpreterWith('httpx')

/**
 * A program: `body` is Python with `await`, `async for` and `async with`, which are taken out for the client of
 * threads. It has `sluice`, `ask(text)`, and `tell(value)`, which prints a line of JSON.
 */
function program(kind: 'sync' | 'async', body: string, options = ''): string {
  const lines = body.trim().split('\n')
  const text = lines.map((line) => `        ${line}`).join('\n')
  const whole = `
import asyncio, json, sys
from concurrent.futures import ThreadPoolExecutor
from sluice import *

def ask(text, **more):
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}

def tell(value):
    print(json.dumps(value), flush=True)

def told(error):
    kind = [each.__name__ for each in type(error).__mro__]
    return {"kind": kind[: kind.index("SluiceError")], "code": error.code, "status": error.status,
            "retry_after": error.retry_after, "retryable": error.retryable, "request_id": error.request_id,
            "param": error.param, "job_id": error.job_id, "text": str(error), "repr": repr(error)}

async def main():
    async with AsyncSluice(${options}) as sluice:
${text}

asyncio.run(main())
`
  if (kind === 'async') return whole
  return whole
    .replace(/asyncio\.run\(main\(\)\)/, 'main()')
    .replace(/\basync (?=def|for|with)/g, '')
    .replace(/\bawait /g, '')
    .replace('AsyncSluice(', 'Sluice(')
}

/** Tells each event, and then what the job has come to. */
const FOLLOW = `
async for event in job.follow():
    tell([event.type, getattr(event, "cursor", None), event.text])
tell({"text": job.text, "message": job.message, "state": job.state, "cuts": job.cuts, "usage": job.usage})
`

describe.skipIf(python === undefined)('the Python package', () => {
  let server: Server
  let network: Network
  let running: Running[] = []
  beforeAll(async () => {
    server = await startServer('models:\n  - { name: demo, provider: demo }\nlog: { level: silent }\n')
    network = await startNetwork(() => server.url)
  })
  afterAll(async () => {
    await network?.close()
    await server?.stop()
  })
  afterEach(() => {
    for (const one of running) one.kill()
    running = []
    network.reset()
  })

  const begin = (text: string, env: Readonly<Record<string, string>> = {}): Running => {
    const one = start(python!, text, { SLUICE_URL: network.url, SLUICE_API_KEY: server.key, ...env })
    running.push(one)
    return one
  }
  async function run(text: string, env: Readonly<Record<string, string>> = {}): Promise<Ran> {
    const ran = await begin(text, env).done
    expect(ran.code, ran.err).toBe(0)
    expect(ran.out + ran.err).not.toContain(server.key)
    return ran
  }
  const http = async (path: string): Promise<any> =>
    (await fetch(server.url + path, { headers: { authorization: `Bearer ${server.key}` } })).json()
  /** The cursors of the log's events, each once and in order, and their text as it was whole. */
  async function expectWhole(lines: readonly any[], job: string): Promise<void> {
    const events = lines.filter(Array.isArray)
    expect(events.map(([, cursor]) => Number(cursor.split('-')[1]))).toEqual(events.map((_, i) => i + 1))
    const { content } = (await http(`/v1/jobs/${job}/result?wait_ms=30000`)).choices[0].message
    expect(events.map(([, , text]) => text).join('')).toBe(content)
    expect(lines.at(-1)).toMatchObject({ text: content, message: { role: 'assistant', content }, state: 'done' })
  }
  const newest = async (): Promise<any> => (await http('/v1/jobs?limit=1')).data[0]
  const count = async (): Promise<number> => (await http('/v1/jobs?limit=1000')).data.length

  it('does what the first example of its README shows, word for word', async () => {
    const readme = readFileSync(join(ROOT, 'python/README.md'), 'utf8')
    const [first, second] = [...readme.matchAll(/^```python\n([\s\S]*?)^```/gm)].map(([, code]) => code)
    const { out } = await run(first)
    const job = await newest()
    const whole = await http(`/v1/jobs/${job.id}/result`)
    expect(out).toBe(`${whole.choices[0].message.content}\ndone, ${whole.usage.completion_tokens} tokens\n`)
    expect((await run(second)).out).toMatch(/^50 answers\nattempt \nchunk \nchunk \S[\s\S]+\nusage \nend \n$/)
  })

  describe.each(['sync', 'async'] as const)('%s', (kind) => {
    it('submits, and gives each event once and as what it is', async () => {
      const { lines } = await run(
        program(
          kind,
          `job = await sluice.submit(ask("Rivers. demo: tokens=30 delay=2"), metadata={"a": "b"})
tell({"id": job.id, "repr": repr(job)})
${FOLLOW}
tell((await job.result())["choices"][0]["message"]["content"] == job.text)
tell([event.type async for event in job.events(after=job.cursor)])
tell([(await sluice.attach(job.id)).state, [each.id for each in await sluice.jobs(limit=1)] == [job.id]])
tell(repr(sluice))`,
        ),
      )
      const [{ id, repr }] = lines
      expect(repr).toBe(`<${kind === 'sync' ? '' : 'Async'}Job ${id} leased>`.replace('leased', repr.split(/[ >]/)[2]))
      await expectWhole(lines.slice(0, lines.findIndex((line) => line.text) + 1), id)
      const types = lines.filter((line) => typeof line[1] === 'string' && line[1].includes('-')).map(([type]) => type)
      expect(types.slice(0, 2)).toEqual(['attempt', 'chunk'])
      expect(types.slice(-2)).toEqual(['usage', 'end'])
      expect(lines.slice(-4)).toEqual([
        true,
        [],
        ['done', true],
        `<${kind === 'sync' ? '' : 'Async'}Sluice ${network.url}>`,
      ])
      expect((await newest()).metadata).toEqual({ a: 'b' })
    })

    it('begins a run, reads it, lists and cancels it', async () => {
      const { lines } = await run(
        program(
          kind,
          `begun = await sluice.runs.create("tidy:${kind}", budget={"steps": 9, "usd": None}, metadata={"a": "b"})
plan = await sluice.submit(ask("Plan. demo: tokens=3 delay=1"), run=begun["id"])
await plan.result(timeout=60)
long = await sluice.submit(ask("Do. demo: tokens=4000 delay=200"), parent=plan.id, after=[plan.id])
page = await sluice.runs.get(begun["id"], limit=1)
tell([page["state"], page["budget"]["steps"], page["totals"]["jobs"], [job["id"] == plan.id for job in page["jobs"]]])
rest = await sluice.runs.get(begun["id"], after=page["next"])
tell([[job["id"] == long.id, job["parent"] == plan.id] for job in rest["jobs"]])
other = await sluice.runs.create()
newest = await sluice.runs.list(limit=1)
older = await sluice.runs.list(after=newest["next"])
tell([newest["data"][0]["id"] == other["id"], older["data"][0]["id"], older["data"][0]["totals"]["jobs"]])
ended = await sluice.runs.cancel(begun["id"])
tell([ended["state"], ended["canceled"], ended["left"]])
try:
    await sluice.runs.get("a/../b")
except NotFound as error:
    tell(error.code)`,
        ),
      )
      expect(lines).toEqual([
        ['running', 9, 2, [true]],
        [[true, true]],
        [true, `tidy:${kind}`, 2],
        ['canceled', 1, 0],
        'run_not_found',
      ])
    })

    it('names jobs as they are, and ends a tree of them', async () => {
      const { lines } = await run(
        program(
          kind,
          `root = await sluice.submit(ask("demo: tokens=3 delay=1"), run="handles-${kind}")
child = await sluice.submit(ask("demo: tokens=4000 delay=200"), parent=root, after=[root, root.id])
tell([child.view["run"], child.view["parent"] == root.id, child.view["after"] == [root.id]])
for wrong in ({"parent": None}, {"after": [None]}):
    try:
        await sluice.submit(ask("x"), **wrong)
    except TypeError as error:
        tell(str(error))
await root.result(timeout=60)
await root.cancel(tree=True)
try:
    await child.result(timeout=60)
except JobCanceled as error:
    tell(error.code)`,
        ),
      )
      const wrong = 'parent and after take jobs and their ids, not NoneType.'
      expect(lines).toEqual([[`handles-${kind}`, true, true], wrong, wrong, 'job_canceled'])
    })

    it('resumes by itself over three cuts, doubling and losing nothing', async () => {
      network.cuts = [
        { after: 2_000, how: 'torn' },
        { after: 3_000, how: 'ended' },
        { after: 4_000, how: 'torn' },
      ]
      const { lines } = await run(
        program(kind, `job = await sluice.submit(ask("Rivers. demo: tokens=120 delay=10"))\n${FOLLOW}`),
      )
      await expectWhole(lines, (await newest()).id)
      expect([lines.at(-1).cuts, network.cuts]).toEqual([3, []])
      // From the start, then each time from where it was
      const [first, ...others] = network.cursors
      expect([first, others.length]).toEqual([undefined, 3])
      for (const cursor of others) expect(cursor).toMatch(/^1-\d+$/)
    })

    it('goes on where it was after the server was killed in mid-answer', async () => {
      const one = begin(program(kind, `job = await sluice.submit(ask("Rivers. demo: tokens=150 delay=20"))\n${FOLLOW}`))
      await one.printed('"1-20"')
      await server.crash()
      const { code, err, lines } = await one.done
      expect(code, err).toBe(0)
      await expectWhole(lines, (await newest()).id)
      expect(lines.at(-1).cuts).toBeGreaterThan(0)
      const attempts = lines.filter((line) => Array.isArray(line) && line[0] === 'attempt')
      const [first, second] = attempts.map(([, cursor]) => cursor.split('-')[0])
      expect([attempts.length, first, second === first]).toEqual([2, '1', false])
    })

    it('withdraws what was shown when the answer begins anew', async () => {
      const one = begin(
        program(
          kind,
          `job = await sluice.submit(ask("Rivers. demo: tokens=80 delay=20"), on_worker_loss="restart")\n${FOLLOW}`,
        ),
      )
      await one.printed('"1-20"')
      await server.crash()
      const { code, err, lines } = await one.done
      expect(code, err).toBe(0)
      const events = lines.filter(Array.isArray)
      const at = events.findIndex(([type]) => type === 'reset')
      const text = (some: any[]): string => some.map(([, , piece]) => piece).join('')
      expect(text(events.slice(0, at))).not.toBe('')
      expect(lines.at(-1).text).toBe(text(events.slice(at)))
      const { content } = (await http(`/v1/jobs/${(await newest()).id}/result`)).choices[0].message
      expect(lines.at(-1)).toMatchObject({ text: content, message: { content } })
    })

    it('submits once, however often the acceptance is lost', async () => {
      const before = await count()
      network.losses = 2
      const { lines } = await run(program(kind, `job = await sluice.submit(ask("demo: tokens=5 delay=1"))\n${FOLLOW}`))
      expect(lines.at(-1).state).toBe('done')
      expect(network.seen.filter((one) => one === 'POST /v1/jobs').length).toBe(3)
      expect((await count()) - before).toBe(1)
      // Even where no waiting is wanted: nobody knows whether it was refused
      network.losses = 1
      await run(program(kind, `job = await sluice.submit(ask("demo: tokens=5 delay=1"), policy="reject")`))
      expect((await count()) - before).toBe(2)
    })

    it('waits for a server that is busy, draining or away behind its proxy', async () => {
      network.refusals = [busy(503, 'draining'), html(502), busy(429, 'queue_full')]
      const { lines } = await run(
        program(
          kind,
          `job = await sluice.submit(ask("demo: tokens=5 delay=1"))
tell("submitted")
${FOLLOW}`,
        ),
      )
      expect(lines.at(-1).state).toBe('done')
      expect(network.refusals).toEqual([])
    })

    it('cancels, any number of times, and tells who waits', async () => {
      const { lines } = await run(
        program(
          kind,
          `job = await sluice.submit(ask("demo: tokens=1000 delay=50"))
async for event in job.events():
    if event.text:
        break
await job.cancel()
await job.cancel()
last = [event async for event in job.events(timeout=60)][-1]
tell([last.type, last.state, job.state])
for wait in ["result", "follow"]:
    try:
        if wait == "result":
            await job.result(timeout=60)
        else:
            [event async for event in job.follow()]
    except JobCanceled as error:
        tell(told(error))`,
        ),
      )
      expect(lines[0]).toEqual(['end', 'canceled', 'canceled'])
      expect(lines.slice(1)).toMatchObject([
        { kind: ['JobCanceled', 'JobFailed'], code: 'job_canceled', status: 499 },
        { kind: ['JobCanceled', 'JobFailed'], code: 'job_canceled', status: null },
      ])
    })

    it('raises what is wrong, as what it is', async () => {
      const tries = [
        'await sluice.submit({"model": "demo"})',
        'await sluice.submit(ask("x"), priorty="low")',
        'await sluice.submit(ask("x", model="none"))',
        'await sluice.attach("job_0")',
        'await (await sluice.submit(ask("demo: fail=400"))).result()',
        '[event async for event in (await sluice.submit(ask("demo: fail=400"))).follow()]',
        'await (await sluice.submit(ask("demo: tokens=900 delay=50"))).result(timeout=0.7)',
        '[event async for event in (await sluice.submit(ask("demo: tokens=900 delay=50"))).events(timeout=0.7)]',
        'await (await sluice.submit(ask("demo: ttft=60000"), lane="a")).events(after="1-9").__anext__()',
      ].map((line) => (kind === 'sync' ? line.replace('__anext__', '__next__') : line))
      const { lines } = await run(
        program(
          kind,
          tries.map((line) => `try:\n    ${line}\nexcept SluiceError as error:\n    tell(told(error))`).join('\n'),
        ),
      )
      const request_id = expect.stringMatching(/^req_/)
      expect(lines).toMatchObject([
        { kind: ['InvalidRequest'], code: 'invalid_request', status: 400, retryable: false, request_id },
        { kind: ['InvalidRequest'], param: 'priorty', text: expect.stringContaining('Did you mean "priority"?') },
        { kind: ['NotFound'], code: 'model_not_found', status: 404 },
        { kind: ['NotFound'], code: 'job_not_found', text: expect.stringMatching(/HTTP 404, request req_/) },
        { kind: ['JobFailed'], code: 'provider_rejected', status: 400, job_id: expect.stringMatching(/^job_/) },
        { kind: ['JobFailed'], code: 'provider_rejected', job_id: expect.stringMatching(/^job_/) },
        { kind: ['WaitTimeout'], code: 'wait_timeout' },
        { kind: ['WaitTimeout'], code: 'wait_timeout' },
        { kind: ['InvalidRequest'], code: 'cursor_ahead', status: 400 },
      ])
    })

    it('gives up in time: nobody there, somebody else there, told to come back much later', async () => {
      const given = `try:
    await sluice.submit(ask("x"))
except SluiceError as error:
    tell(told(error))`
      const short = 'patience=1.5'
      const nobody = await run(program(kind, given, short), { SLUICE_URL: `http://127.0.0.1:${await freePort()}` })
      expect(nobody.lines).toMatchObject([{ kind: ['ConnectionLost'], code: 'connection_lost', retryable: true }])
      network.refusals = [html(200), html(301), html(404)]
      const other = await run(program(kind, [given, given, given].join('\n'), short))
      expect(other.lines).toMatchObject([
        { kind: ['InvalidAnswer'], status: 200 },
        { kind: ['InvalidAnswer'], status: 301 },
        { kind: ['NotFound'], status: 404, code: 'invalid_answer' },
      ])
      network.refusals = Array(50).fill(html(502))
      const away = await run(program(kind, given, short))
      expect(away.lines).toMatchObject([{ kind: ['ServerError'], status: 502, retryable: true }])
      expect(network.refusals.length).toBeGreaterThan(20) // it waited in between
      network.refusals = [
        busy(429, 'rate_limit_exceeded', { 'retry-after-ms': '30000' }),
        busy(503, 'overloaded', { 'x-should-retry': 'false', 'retry-after-ms': '', 'retry-after': '900' }),
      ]
      const later = await run(program(kind, [given, given].join('\n'), short))
      expect(later.lines).toMatchObject([
        { kind: ['RateLimited'], code: 'rate_limit_exceeded', retry_after: 30, retryable: true },
        { kind: ['ServerError'], code: 'overloaded', retry_after: 900, retryable: false },
      ])
      network.refusals = [busy(429, 'queue_full')]
      const refused = await run(program(kind, given.replace('ask("x")', 'ask("x"), policy="reject"')))
      expect(refused.lines).toMatchObject([{ kind: ['RateLimited'], code: 'queue_full' }])
    })

    it('never shows its key, whatever goes wrong', async () => {
      const key = 'sk-sluice-nobody-may-see-this'
      const text = program(
        kind,
        `tell(repr(sluice) + repr(sluice.__dict__))
try:
    await sluice.jobs()
except SluiceError as error:
    tell(told(error))
    raise`,
        'patience=0.5',
      )
      for (const url of [network.url, 'http://127.0.0.1:1']) {
        const { code, out, err } = await begin(text, { SLUICE_API_KEY: key, SLUICE_URL: url }).done
        expect([code, out.includes('Sluice'), err.includes('Traceback')]).toEqual([1, true, true])
        expect(out + err).not.toContain(key)
      }
      const odd = await begin(text, { SLUICE_API_KEY: `${key}\n` }).done
      expect(odd.err).toContain('ValueError')
      expect(odd.out + odd.err).not.toContain(key)
    })

    it('keeps a conversation, a message at a time', async () => {
      const { lines } = await run(
        program(
          kind,
          `talk = sluice.conversation("py/${kind} 1")
one = await talk.send("My name is Ada. demo: tokens=3 delay=1", model="demo")
two = await talk.send("demo: echo=1", model="demo")
tell((await two.result())["choices"][0]["message"]["content"])
tell([[turn["job"] for turn in await talk.turns()] == [one.id, two.id], two.view["conversation"]])
await talk.delete()
try:
    await talk.turns()
except NotFound as error:
    tell(error.code)`,
        ),
      )
      expect(JSON.stringify(lines[0])).toContain('My name is Ada.')
      expect(lines.slice(1)).toEqual([[true, `py/${kind} 1`], 'conversation_not_found'])
    })

    it('reads fifty at once, each its own', async () => {
      const all =
        kind === 'async'
          ? `texts = await asyncio.gather(*[one(n) for n in range(50)])`
          : `with ThreadPoolExecutor(50) as pool:
    texts = list(pool.map(one, range(50)))`
      const { lines } = await run(
        program(
          kind,
          `async def one(n):
    job = await sluice.submit(ask(f"Number {n}. demo: echo=1 delay=2"))
    async for event in job.follow():
        pass
    return [f"Number {n}." in job.text, job.text == (await job.result())["choices"][0]["message"]["content"]]
${all}
tell(texts)`,
        ),
      )
      expect(lines).toEqual([Array(50).fill([true, true])])
    })
  })

  it('passes its own tests of what needs no server', () => {
    const { status, stderr } = spawnSync(python!, ['-m', 'unittest', 'discover', '-s', join(ROOT, 'python/tests')], {
      encoding: 'utf8',
      env: { ...process.env, PYTHONPATH: join(ROOT, 'python/src'), PYTHONDONTWRITEBYTECODE: '1' },
      timeout: 120_000,
    })
    expect([status, /Ran \d{2,} tests/.test(stderr)], stderr).toEqual([0, true])
  })
})

const typed = interpreterWith('httpx', 'mypy')
describe.skipIf(typed === undefined)('the types of the Python package', () => {
  it('are strict, and so are the examples of its README', () => {
    const readme = readFileSync(join(ROOT, 'python/README.md'), 'utf8')
    const folder = mkdtempSync(join(tmpdir(), 'sluice-mypy-'))
    for (const [i, [, code]] of [...readme.matchAll(/^```python\n([\s\S]*?)^```/gm)].entries())
      writeFileSync(join(folder, `example_${i}.py`), code)
    const mypy = (...args: string[]): unknown[] => {
      const { status, stdout } = spawnSync(typed!, ['-m', 'mypy', '--cache-dir', '/dev/null', ...args], {
        cwd: join(ROOT, 'python'),
        encoding: 'utf8',
        timeout: 85_000,
      })
      return [status, stdout]
    }
    const success = [0, expect.stringContaining('Success: no issues found')]
    expect(mypy()).toEqual(success)
    expect(mypy('--allow-untyped-defs', join(folder, 'example_0.py'), join(folder, 'example_1.py'))).toEqual(success)
    rmSync(folder, { recursive: true })
  })
})
