/**
 * The official `openai` package for Python, unmodified: what a program gets that changed nothing but its base URL. Each
 * case runs with both of its clients.
 */
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from '../e2e/server.ts'
import { busy, type Network, startNetwork } from './network.ts'
import { interpreterWith, ROOT, start } from './python.ts'

const python = interpreterWith('openai')

const indented = (text: string): string =>
  text
    .trim()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n')

/**
 * A program of these parts, each with `client`, `ask(text)` and `tell(value)`; what awaits is for both clients, as in
 * client.test.ts. It tells a list for each part: what that told, and its traceback if it failed. (Importing the package
 * takes longer than a part.)
 */
function program(kind: 'sync' | 'async', parts: readonly string[]): string {
  const whole = `
import asyncio, json, os, openai, traceback

WEATHER = {"name": "weather", "description": "The weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}

def ask(text, **more):
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}

${parts.map((part, i) => `async def part_${i}(client, tell):\n${indented(part)}\n`).join('\n')}
async def main():
    async with openai.AsyncOpenAI(base_url=os.environ["SLUICE_URL"] + "/v1",
                                  api_key=os.environ["SLUICE_API_KEY"]) as client:
        for part in [${parts.map((_, i) => `part_${i}`).join(', ')}]:
            told = []
            try:
                await part(client, told.append)
            except Exception:
                told.append(traceback.format_exc())
            print(json.dumps(told), flush=True)

asyncio.run(main())
`
  if (kind === 'async') return whole
  return whole
    .replace('asyncio.run(main())', 'main()')
    .replace(/\basync (?=def|for|with)/g, '')
    .replace(/\bawait /g, '')
    .replace('AsyncOpenAI', 'OpenAI')
}

interface Case {
  readonly name: string
  readonly body: string
  /** What it tells. */
  readonly told: readonly unknown[]
}

const CHAT: readonly Case[] = [
  {
    name: 'an answer in JSON',
    body: `
answer = await client.chat.completions.create(**ask("Hi. demo: tokens=12 delay=1"))
[choice] = answer.choices
tell([answer.object, choice.message.role, choice.finish_reason, len(choice.message.content) > 10])
tell(answer.usage.completion_tokens)`,
    told: [['chat.completion', 'assistant', 'stop', true], 12],
  },
  {
    name: 'a stream, with usage if asked for',
    body: `
for asked in [{}, {"stream_options": {"include_usage": True}}]:
    stream = await client.chat.completions.create(**ask("Hi. demo: tokens=20 delay=1"), stream=True, **asked)
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    tell([len(text) > 20, [chunk.usage.completion_tokens for chunk in chunks if chunk.usage]])`,
    told: [
      [true, []],
      [true, [20]],
    ],
  },
  {
    name: 'tools, in JSON and in a stream',
    body: `
request = ask("Use the tool: what is the weather in Bern? demo: delay=1",
              tools=[{"type": "function", "function": WEATHER}], tool_choice="required")
whole = (await client.chat.completions.create(**request)).choices[0]
[call] = whole.message.tool_calls
tell([whole.finish_reason, call.function.name, list(json.loads(call.function.arguments))])
async with client.chat.completions.stream(**request) as stream:
    [streamed] = (await stream.get_final_completion()).choices[0].message.tool_calls
tell([streamed.function.name, streamed.function.arguments == call.function.arguments])`,
    told: [
      ['tool_calls', 'weather', ['city']],
      ['weather', true],
    ],
  },
  {
    name: 'embeddings and models',
    body: `
made = await client.embeddings.create(model="demo", input=["one", "two"])
tell([len(each.embedding) for each in made.data])
tell([model.id async for model in client.models.list()])`,
    told: [[256, 256], ['demo']],
  },
]

const RESPONSES: readonly Case[] = [
  {
    name: 'a response, and one that goes on from it',
    body: `
first = await client.responses.create(model="demo", input="My name is Ada. demo: tokens=5 delay=1")
tell([first.status, first.usage.output_tokens, len(first.output_text) > 5])
second = await client.responses.create(model="demo", input="demo: echo=1", previous_response_id=first.id)
tell(["My name is Ada." in second.output_text, first.output_text.split()[0] in second.output_text])`,
    told: [
      ['completed', 5, true],
      [true, true],
    ],
  },
  {
    name: 'a stream of it, whose events add up',
    body: `
stream = await client.responses.create(model="demo", input="Hi. demo: tokens=20 delay=1", stream=True)
events = [event async for event in stream]
tell([event.sequence_number for event in events] == list(range(len(events))))
tell([events[0].type, events[-1].type])
text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
tell(text == events[-1].response.output_text)`,
    told: [true, ['response.created', 'response.completed'], true],
  },
  {
    name: 'tools of it',
    body: `
answer = await client.responses.create(model="demo", input="Use the tool: what is the weather in Bern?",
                                       tools=[{"type": "function", **WEATHER}], tool_choice="required")
[call] = [item for item in answer.output if item.type == "function_call"]
tell([call.name, list(json.loads(call.arguments))])`,
    told: [['weather', ['city']]],
  },
  {
    name: 'a background response: left, taken up again after any event, looked up, deleted',
    body: `
stream = await client.responses.create(model="demo", input="Hi. demo: tokens=60 delay=10", background=True, stream=True)
seen = []
async for event in stream:
    seen.append(event)
    if len(seen) == 12:
        break
await stream.close()
id = seen[0].response.id
rest = await client.responses.retrieve(id, stream=True, starting_after=seen[-1].sequence_number)
seen += [event async for event in rest]
tell([event.sequence_number for event in seen] == list(range(len(seen))))
text = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
whole = await client.responses.retrieve(id)
tell([whole.status, whole.output_text == text])
await client.responses.delete(id)
try:
    await client.responses.retrieve(id)
except openai.NotFoundError as error:
    tell(error.status_code)`,
    told: [true, ['completed', true], 404],
  },
  {
    name: 'a background response that is polled, and one that is canceled',
    body: `
made = await client.responses.create(model="demo", input="Hi. demo: tokens=5 delay=1", background=True)
while made.status in ("queued", "in_progress"):
    made = await client.responses.retrieve(made.id)
tell([made.status, made.usage.output_tokens])
long = await client.responses.create(model="demo", input="demo: tokens=2000 delay=50", background=True)
for again in range(2):
    long = await client.responses.cancel(long.id)
while long.status == "in_progress":
    long = await client.responses.retrieve(long.id)
tell(long.status)`,
    told: [['completed', 5], 'cancelled'],
  },
]

const BATCHES: readonly Case[] = [
  {
    name: 'files: uploaded, looked up, listed, read, deleted',
    body: `
made = await client.files.create(file=("notes.txt", b"some notes"), purpose="user_data")
tell([made.filename, made.bytes, made.purpose])
tell([(await client.files.retrieve(made.id)).id == made.id, made.id in [each.id async for each in client.files.list()]])
tell((await client.files.content(made.id)).read().decode())
tell((await client.files.delete(made.id)).deleted)
try:
    await client.files.content(made.id)
except openai.NotFoundError as error:
    tell(error.status_code)`,
    told: [['notes.txt', 10, 'user_data'], [true, true], 'some notes', true, 404],
  },
  {
    name: 'batches of chat completions and of responses, whose answers are as their routes give them',
    body: `
said = "Hi. demo: tokens=4 delay=1"
for url, good in [("/v1/chat/completions", ask(said)), ("/v1/responses", {"model": "demo", "input": said})]:
    bodies = [good, {**good, "model": "nope"}, good]
    lines = [json.dumps({"custom_id": f"r-{n}", "method": "POST", "url": url, "body": body})
             for n, body in enumerate(bodies)]
    file = await client.files.create(file=("in.jsonl", "\\n".join(lines).encode()), purpose="batch")
    batch = await client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h")
    while batch.status in ("validating", "in_progress", "finalizing"):
        batch = await client.batches.retrieve(batch.id)
    counts = batch.request_counts
    tell([batch.status, counts.total, counts.completed, counts.failed])
    answers = {}
    for id in [batch.output_file_id, batch.error_file_id]:
        for line in (await client.files.content(id)).text.splitlines():
            one = json.loads(line)
            answers[one["custom_id"]] = one["response"]
    tell([answers[f"r-{n}"]["status_code"] for n in range(3)])
    body = answers["r-0"]["body"]
    kind = openai.types.responses.Response if url.endswith("responses") else openai.types.chat.ChatCompletion
    answer = kind.construct(**body)
    tell([answer.object, answer.usage.total_tokens == body["usage"]["total_tokens"]])
    tell(batch.id in [each.id async for each in client.batches.list(limit=1)])`,
    told: ['chat.completion', 'response'].flatMap((object) => [
      ['completed', 3, 2, 1],
      [200, 404, 200],
      [object, true],
      true,
    ]),
  },
  {
    name: 'a batch that is cancelled, and one whose lines are wrong',
    body: `
async def batch_of(text):
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": ask(text)}
    file = await client.files.create(file=("in.jsonl", json.dumps(line).encode()), purpose="batch")
    return await client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")

async def over(batch):
    while batch.status not in ("completed", "failed", "cancelled", "expired"):
        batch = await client.batches.retrieve(batch.id)
    return batch

long = await batch_of("demo: tokens=4000 delay=1000")
while (long := await client.batches.retrieve(long.id)).status == "validating":
    pass
tell((await client.batches.cancel(long.id)).status)
tell((await over(long)).status)
file = await client.files.create(file=("in.jsonl", b"[]"), purpose="batch")
wrong = await over(await client.batches.create(
    input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"))
tell([wrong.status, [[error.line, error.code] for error in wrong.errors.data]])`,
    told: ['cancelling', 'cancelled', ['failed', [[1, 'invalid_json_line']]]],
  },
]

describe.skipIf(python === undefined)('the openai package for Python', () => {
  let server: Server
  let network: Network
  beforeAll(async () => {
    server = await startServer('models:\n  - { name: demo, provider: demo }\nlog: { level: silent }\n')
    network = await startNetwork(() => server.url)
  })
  afterAll(async () => {
    await network?.close()
    await server?.stop()
  })
  afterEach(() => network.reset())

  const env = () => ({ SLUICE_URL: network.url, SLUICE_API_KEY: server.key })
  /** What each part told. */
  async function run(kind: 'sync' | 'async', ...parts: string[]): Promise<any[][]> {
    const { code, err, lines } = await start(python!, program(kind, parts), env()).done
    expect(code, err).toBe(0)
    return lines
  }
  const jobs = async (): Promise<number> => {
    const headers = { authorization: `Bearer ${server.key}` }
    const list = (await (await fetch(`${server.url}/v1/jobs?limit=1000`, { headers })).json()) as { data: unknown[] }
    return list.data.length
  }

  describe.each(['sync', 'async'] as const)('%s', (kind) => {
    const cases = [...CHAT, ...RESPONSES, ...BATCHES]
    let all: any[][]
    beforeAll(async () => {
      all = await run(kind, ...cases.map(({ body }) => body))
    })
    it.each(cases)('$name', (one) => {
      expect(all[cases.indexOf(one)]).toEqual(one.told)
    })

    it('errors are the classes that it knows', async () => {
      const tries = [
        'await client.chat.completions.create(**ask("x", model="nope"))',
        'await client.with_options(api_key="sk-sluice-wrong").models.list()',
        'await client.chat.completions.create(model="demo", messages="hi")',
        'await client.responses.create(model="nope", input="x")',
        'await client.responses.retrieve("resp_0")',
        'await client.chat.completions.create(**ask("demo: fail=400"))',
        `[chunk async for chunk in await client.chat.completions.create(
        **ask("demo: tokens=30 delay=1 garbage=5"), stream=True, extra_body={"sluice": {"on_worker_loss": "fail"}})]`,
      ]
      const body = tries.map(
        (line) => `try:\n    ${line}\nexcept openai.APIError as error:\n    tell([type(error).__name__, error.code])`,
      )
      expect(await run(kind, body.join('\n'))).toEqual([
        [
          ['NotFoundError', 'model_not_found'],
          ['AuthenticationError', 'invalid_api_key'],
          ['BadRequestError', 'invalid_request'],
          ['NotFoundError', 'model_not_found'],
          ['NotFoundError', expect.any(String)],
          ['BadRequestError', expect.any(String)],
          ['APIError', 'provider_garbage'],
        ],
      ])
    })

    it('its own retries are one job, and heed what they are told', async () => {
      const body = `
answer = await client.chat.completions.create(**ask("Once. demo: tokens=5 delay=1"))
tell(answer.usage.completion_tokens)`
      const before = await jobs()
      network.losses = 1
      expect(await run(kind, body)).toEqual([[5]])
      expect([(await jobs()) - before, network.seen.length]).toEqual([1, 2])
      network.reset()
      network.refusals = [busy(503, 'draining'), busy(429, 'queue_full')]
      expect(await run(kind, body)).toEqual([[5]])
      expect(network.seen.length).toBe(3)
      // What failed here has been tried here
      network.reset()
      const refused = `
try:
    await client.chat.completions.create(**ask("demo: fail=500"))
except openai.APIStatusError as error:
    tell(error.status_code >= 500)`
      expect(await run(kind, refused)).toEqual([[true]])
      expect(network.seen.length).toBe(1)
    })
  })

  describe('examples/openai-python', () => {
    const SCRIPT = join(ROOT, 'examples/openai-python/background.py')
    const example = (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
      start(
        python!,
        `import runpy, sys
sys.argv = ${JSON.stringify([SCRIPT, ...args])}
runpy.run_path(sys.argv[0], run_name="__main__")`,
        { ...env(), ...more },
      )

    it('tells a long answer whole over three cuts, and once more from any event', async () => {
      network.cuts = [
        { after: 6_000, how: 'torn' },
        { after: 6_000, how: 'ended' },
        { after: 6_000, how: 'torn' },
      ]
      const before = await jobs()
      const { code, out, err } = await example(['Rivers. demo: tokens=90 delay=10']).done
      expect(code, err).toBe(0)
      expect([network.cuts, (await jobs()) - before]).toEqual([[], 1])
      const id = /^resp_\w+$/m.exec(err)![0]
      const headers = { authorization: `Bearer ${server.key}` }
      const whole = (await (await fetch(`${server.url}/v1/responses/${id}`, { headers })).json()) as any
      const text = whole.output[0].content[0].text
      expect(out).toBe(`${text}\n-- 90 tokens\n`)
      const rest = (await example([id, '60']).done).out
      expect(out.endsWith(rest) && rest.length > 100 && rest.length < out.length).toBe(true)
    })

    it('says in a line what to do', async () => {
      const tries: ReadonlyArray<readonly [args: string[], env: Record<string, string>, said: string]> = [
        [['x'], { SLUICE_API_KEY: '' }, 'Set SLUICE_API_KEY'],
        [['x'], { SLUICE_API_KEY: 'sk-sluice-nope' }, 'API key is not valid'],
        [['resp_0'], {}, 'no such'],
        [['demo: fail=400'], {}, 'asked to fail'],
      ]
      for (const [args, more, said] of tries) {
        const { code, out, err } = await example(args, more).done
        expect([code, out.trim(), err.trim().split('\n').at(-1)]).toEqual([1, '', expect.stringContaining(said)])
        expect(err).not.toContain('Traceback')
      }
    })
  })
})
