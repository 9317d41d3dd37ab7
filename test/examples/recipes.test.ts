/**
 * The README's recipes for coming back, word for word, with the real SDKs, over a network that cuts each stream three
 * times.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server as HttpServer, type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from '../e2e/server.ts'

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
}, 60_000)
afterAll(async () => {
  proxy?.closeAllConnections()
  proxy?.close()
  await server?.stop()
})
const folders: string[] = []
afterEach(() => {
  cuts = []
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

/** Runs a program made of a recipe; it prints all chunks as JSON, then "error" and a code if it fails. */
async function run(command: string, name: string, program: string): Promise<{ chunks: any[]; error: string | null }> {
  const folder = mkdtempSync(join(import.meta.dirname, '.recipe-')) // here, so that packages are found
  folders.push(folder)
  writeFileSync(join(folder, name), program)
  const child = spawn(command, [join(folder, name)], {
    env: { ...process.env, SLUICE_API_KEY: server.key, SLUICE_URL: url },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [out, err] = ['', '']
  child.stdout.on('data', (data) => (out += data))
  child.stderr.on('data', (data) => (err += data))
  const code = await new Promise((done) => child.once('exit', done))
  expect(code, err).toBe(0)
  const lines = out.trim().split('\n').filter(Boolean)
  const error = lines.at(-1)?.startsWith('error ') ? lines.pop()!.slice(6) : null
  return { chunks: lines.map((line) => JSON.parse(line)), error }
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

const node = (question: string): [string, string, string] => [
  process.execPath,
  'recipe.ts',
  `import OpenAI from 'openai'
const openai = new OpenAI({ baseURL: process.env.SLUICE_URL, apiKey: process.env.SLUICE_API_KEY })
${recipe('ts', 'function* resumed')}
try {
  const messages = [{ role: 'user', content: ${JSON.stringify(question)} }]
  const body = { model: 'demo', stream_options: { include_usage: true }, messages }
  for await (const chunk of resumed(openai, body)) console.log(JSON.stringify(chunk))
} catch (error) {
  console.log('error', error.code)
}
`,
]
/** An interpreter that has the package: named by SLUICE_TEST_PYTHON, or python3. */
const interpreter = [process.env['SLUICE_TEST_PYTHON'], 'python3'].find(
  (name) => name && spawnSync(name, ['-c', 'import openai']).status === 0,
)
const python = (question: string): [string, string, string] => [
  interpreter!,
  'recipe.py',
  `import os, time, uuid
from openai import OpenAI
client = OpenAI(base_url=os.environ["SLUICE_URL"], api_key=os.environ["SLUICE_API_KEY"])
${recipe('python', 'def resumed')}
try:
    messages = [{"role": "user", "content": ${JSON.stringify(question)}}]
    body = {"model": "demo", "stream_options": {"include_usage": True}, "messages": messages}
    for chunk in resumed(client, **body):
        print(chunk.model_dump_json())
except Exception as error:
    print("error", error.code)
`,
]

describe.each([
  ['node', node, false],
  ['python', python, interpreter === undefined],
] as const)('the recipe for %s', (_language, program, isMissing) => {
  it.skipIf(isMissing)(
    'gives each chunk once over three cuts, from one job',
    async () => {
      const before = await jobs()
      const { chunks, error } = await run(...program(QUESTION))
      expect([error, cuts]).toEqual([null, ['torn', 'ended', 'torn']])
      expect(textOf(chunks)).toBe(await whole(QUESTION))
      expect(chunks.at(-1).usage.completion_tokens).toBe(120)
      expect((await jobs()) - before).toBe(2) // its own, and the one that it is compared with
    },
    60_000,
  )

  it.skipIf(isMissing)(
    'tells what is refused, and what failed, instead of asking for ever',
    async () => {
      expect(await run(...program('Fail. demo: fail=400'))).toMatchObject({ chunks: [], error: expect.any(String) })
      const broken = await run(...program('Break off. demo: tokens=30 delay=1 garbage=5'))
      expect(broken.error).toEqual(expect.any(String))
    },
    60_000,
  )
})
