/**
 * The README's recipes for coming back, word for word, with the real SDKs, over a network that cuts each stream three
 * times.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server as HttpServer, type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from '../e2e/server.ts'
import { freePort } from '../free-port.ts'

const ROOT = join(import.meta.dirname, '../..')
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
/** The block of the README, in this language, that defines this function. */
function recipe(language: string, definition: string): string {
  const found = [...README.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    ([, code]) => code,
  )
  const code = found.find((block) => block.includes(definition))
  if (code === undefined) throw new Error(`README has no ${language} block with ${definition}`)
  return code
}

const QUESTION = 'Tell me of rivers. demo: tokens=120 delay=10 ttft=10'
let server: Server
let proxy: HttpServer
let url: string
/** Streams that were cut, and how: `torn` in mid-flight, or `ended` as if nothing were wrong. */
let cuts: string[] = []
/** How the proxy itself answers the requests after a cut, before it passes them on again. */
let answers: Answer[] = []
interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
}
let requests = 0
/** How many jobs the server has. */
const jobs = async (): Promise<number> =>
  (
    (await (
      await fetch(`${server.url}/v1/jobs?limit=1000`, { headers: { authorization: `Bearer ${server.key}` } })
    ).json()) as { data: unknown[] }
  ).data.length

beforeAll(async () => {
  server = await startServer('models:\n  - { name: demo, provider: demo }\nlog: { level: silent }\n')
  proxy = createServer((incoming, response) => {
    requests++
    const [first] = answers
    if (first !== undefined && cuts.length > 0) {
      answers.shift()
      incoming.resume()
      response.writeHead(first.status, first.headers).end(first.body)
      return
    }
    const upstream = request(
      server.url + incoming.url,
      { method: incoming.method!, headers: incoming.headers },
      (answer: IncomingMessage) => {
        response.writeHead(answer.statusCode!, answer.headers)
        let bytes = 0
        answer.on('data', (part: Buffer) => {
          bytes += part.length
          response.write(part)
          const isStream = answer.headers['content-type']?.startsWith('text/event-stream')
          if (!isStream || cuts.length === 3 || bytes < 2_000 * (cuts.length + 1)) return
          cuts.push(cuts.length === 1 ? 'ended' : 'torn')
          upstream.destroy()
          if (cuts.at(-1) === 'ended') response.end()
          else response.destroy()
        })
        answer.on('end', () => response.end())
        answer.on('error', () => {})
      },
    )
    upstream.on('error', () => {})
    incoming.pipe(upstream)
  })
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done))
  url = `http://127.0.0.1:${(proxy.address() as { port: number }).port}/v1`
})
afterAll(async () => {
  proxy?.closeAllConnections()
  proxy?.close()
  await server?.stop()
})
const folders: string[] = []
const children: ChildProcess[] = []
afterEach(() => {
  cuts = []
  answers = []
  requests = 0
  for (const child of children.splice(0)) child.kill('SIGKILL') // what a failed test left
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

/** Runs a program made of a recipe; it prints all chunks as JSON, then "error" and a code if it fails. */
async function run(
  command: string,
  name: string,
  program: string,
  to = url,
): Promise<{ chunks: any[]; error: string | null }> {
  const folder = mkdtempSync(join(import.meta.dirname, '.recipe-')) // here, so that packages are found
  folders.push(folder)
  writeFileSync(join(folder, name), program)
  const child = spawn(command, [join(folder, name)], {
    env: { ...process.env, SLUICE_API_KEY: server.key, SLUICE_URL: to },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  let [out, err] = ['', '']
  child.stdout.on('data', (data) => (out += data))
  child.stderr.on('data', (data) => (err += data))
  const code = await new Promise((done) => child.once('exit', done))
  expect(code, err).toBe(0)
  const lines = out.trim().split('\n').filter(Boolean)
  const isError = (line: string): boolean => line.startsWith('error ')
  const chunks = lines.filter((line) => !isError(line)).map((line) => JSON.parse(line))
  const error = lines.filter(isError).map((line) => line.slice('error '.length))
  return { chunks, error: error.length === 0 ? null : error.join('\n') }
}

/** The same, straight from the server. */
async function whole(question: string): Promise<string> {
  const answer = await fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'demo', messages: [{ role: 'user', content: question }] }),
  })
  return ((await answer.json()) as { choices: Array<{ message: { content: string } }> }).choices[0].message.content
}
const textOf = (chunks: any[]): string => chunks.map(({ choices: [choice] }) => choice?.delta.content ?? '').join('')

/** A program, with `extra` members in its request. `pauses`: shorter ones than the recipe's, where it gives up. */
type Program = (question: string, extra?: string, pauses?: 'short') => [string, string, string]

const node: Program = (question, extra = '', pauses) => [
  process.execPath,
  'recipe.ts',
  `import OpenAI from 'openai'
${recipe('ts', 'function* resumed').replace('250 *', pauses ? '2 *' : '250 *')}
const { SLUICE_URL: urls, SLUICE_API_KEY: apiKey } = process.env
for (const baseURL of urls.split(' ')) {
const openai = new OpenAI({ baseURL, apiKey, ...${pauses ? '{ maxRetries: 0 }' : '{}'} })
try {
  const messages = [{ role: 'user', content: ${JSON.stringify(question)} }]
  const body = { model: 'demo', stream_options: { include_usage: true }, messages ${extra} }
  for await (const chunk of resumed(openai, body)) console.log(JSON.stringify(chunk))
} catch (error) {
  console.log('error', error.status ?? error.constructor.name, error.code)
}}
`,
]
/** An interpreter that has the package: named by SLUICE_TEST_PYTHON, or python3. */
const interpreter = [process.env['SLUICE_TEST_PYTHON'], 'python3'].find(
  (name) => name && spawnSync(name, ['-c', 'import openai']).status === 0,
)
const python: Program = (question, extra = '', pauses) => [
  interpreter!,
  'recipe.py',
  `import os, time, uuid
from openai import OpenAI
more = ${pauses ? '{"max_retries": 0}' : '{}'}
${recipe('python', 'def resumed').replace('0.25 *', pauses ? '0.002 *' : '0.25 *')}
for url in os.environ["SLUICE_URL"].split():
    client = OpenAI(base_url=url, api_key=os.environ["SLUICE_API_KEY"], **more)
    try:
        messages = [{"role": "user", "content": ${JSON.stringify(question)}}]
        body = {"model": "demo", "stream_options": {"include_usage": True}, "messages": messages ${extra}}
        for chunk in resumed(client, **body):
            print(chunk.model_dump_json())
    except Exception as error:
        print("error", getattr(error, "status_code", type(error).__name__), getattr(error, "code", None))
`,
]

/** What Sluice answers while it can't: worth another try. */
const busy = (status: number, code: string): Answer => ({
  status,
  headers: { 'content-type': 'application/json', 'x-should-retry': 'true', 'retry-after-ms': '20' },
  body: JSON.stringify({ error: { message: code, type: 'server_error', param: null, code } }),
})
const html = (status: number): Answer => ({
  status,
  headers: { 'content-type': 'text/html' },
  body: '<html><h1>a proxy</h1></html>',
})

describe.each([
  ['node', node, 'bad: 1n', 'TypeError', false],
  ['python', python, '"tempersture": 1', 'TypeError', interpreter === undefined],
] as const)('the recipe for %s', (_language, program, mistake, mistaken, isMissing) => {
  it.skipIf(isMissing)('gives each chunk once over three cuts, from one job', async () => {
    const before = await jobs()
    const { chunks, error } = await run(...program(QUESTION))
    expect([error, cuts]).toEqual([null, ['torn', 'ended', 'torn']])
    expect(textOf(chunks)).toBe(await whole(QUESTION))
    expect(chunks.at(-1).usage.completion_tokens).toBe(120)
    expect((await jobs()) - before).toBe(2) // its own, and the one that it is compared with
  })

  it.skipIf(isMissing)('waits for a server that is starting, busy or away behind its proxy', async () => {
    answers = [
      ...['starting', 'draining', 'overloaded', 'storage_locked'].map((code) => busy(503, code)),
      html(502),
      busy(429, 'queue_full'),
    ]
    cuts = ['torn', 'torn'] // two of the three
    const { chunks, error } = await run(...program(QUESTION, '', 'short'))
    expect([error, answers, cuts.length]).toEqual([null, [], 3])
    expect(textOf(chunks)).toBe(await whole(QUESTION))
  })

  it.skipIf(isMissing)(
    'raises what no other try can change: a mistake in the program, a wrong address, nobody there',
    async () => {
      expect(await run(...program('Hi.', `, ${mistake}`))).toMatchObject({
        chunks: [],
        error: expect.stringContaining(mistaken),
      })
      expect(requests).toBe(0)
      // Wrong addresses; the last three not at once, but soon
      const asked = [0, 0, 0]
      const others = [404, 200, 502].map((status, i) =>
        createServer((incoming, response) => {
          asked[i]++
          incoming.resume()
          response.writeHead(status, { 'content-type': 'text/html' }).end('<html>not Sluice</html>')
        }),
      )
      const ports = await Promise.all([
        ...others.map(async (other) => {
          await new Promise<void>((done) => other.listen(0, '127.0.0.1', done))
          return (other.address() as { port: number }).port
        }),
        freePort(), // nobody there
      ])
      const urls = ports.map((port) => `http://127.0.0.1:${port}/v1`).join(' ')
      const { chunks, error } = await run(...program('Hi.', '', 'short'), urls)
      for (const other of others) other.close()
      expect([chunks, asked]).toEqual([[], [1, 7, 7]])
      expect(error).toMatch(/^404 .*\n.*Connection.*\n502 .*\n.*Connection.*$/)
    },
  )

  it.skipIf(isMissing)('tells what is refused, and what failed, instead of asking for ever', async () => {
    expect(await run(...program('Fail. demo: fail=400'))).toMatchObject({ chunks: [], error: expect.any(String) })
    const broken = await run(...program('Break off. demo: tokens=30 delay=1 garbage=5'))
    expect(broken.error).toEqual(expect.any(String))
  })
})

it('every TypeScript block of the README type-checks, strictly', () => {
  const folder = mkdtempSync(join(import.meta.dirname, '.recipe-'))
  folders.push(folder)
  const blocks = [...README.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code]) => code)
  for (const [i, code] of blocks.entries())
    writeFileSync(
      join(folder, `${i}.ts`),
      `${code.includes("from 'openai'") ? '' : "import OpenAI from 'openai'\n"}${code}\nexport {}\n`,
    )
  const compilerOptions = { noUnusedLocals: false, noUnusedParameters: false }
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: '../../../tsconfig.json', compilerOptions, include: ['*.ts'] }),
  )
  const { stdout, status } = spawnSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder], { encoding: 'utf8' })
  expect([status, stdout]).toEqual([0, ''])
})
