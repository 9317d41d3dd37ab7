/** The examples of other people's clients, as their READMEs run them; what they print is what the server stored. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Server, startServer } from '../e2e/server.ts'
import { bareEnvironment } from '../environment.ts'

const ROOT = join(import.meta.dirname, '../..')
let server: Server
beforeAll(async () => {
  server = await startServer('models:\n  - { name: demo, provider: demo }\nlog: { level: silent }\n')
})
afterAll(() => server?.stop())

function run(
  command: string,
  file: string,
  env: Record<string, string> = {},
): Promise<[number | null, string, string]> {
  return new Promise((done) => {
    const child = spawn(command, [join('examples', file)], {
      cwd: ROOT,
      env: { ...bareEnvironment(), SLUICE_URL: server.url, SLUICE_API_KEY: server.key, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [out, err] = ['', '']
    child.stdout.on('data', (data: Buffer) => (out += data.toString()))
    child.stderr.on('data', (data: Buffer) => (err += data.toString()))
    child.on('close', (code) => done([code, out, err]))
  })
}
const get = async <T>(path: string): Promise<T> =>
  (await (await fetch(server.url + path, { headers: { authorization: `Bearer ${server.key}` } })).json()) as T
const textOf = async (job: string): Promise<string> =>
  (await get<{ choices: [{ message: { content: string } }] }>(`/v1/jobs/${job}/result`)).choices[0].message.content
/** Those that ran, oldest first. */
const jobsOf = async (count: number): Promise<string[]> =>
  (await get<{ data: Array<{ id: string }> }>(`/v1/jobs?limit=${count}`)).data.map(({ id }) => id).reverse()

it('langchain: an answer, a stream, a tool, an answer by a schema', async () => {
  const [code, out, err] = await run(process.execPath, 'langchain/main.ts')
  expect([code, err]).toEqual([0, ''])
  const [answer, stream] = await jobsOf(4)
  expect(out).toContain(`Answer: ${await textOf(answer)}\n\nStream: ${await textOf(stream)}\n\nTool: weather {"city":`)
  expect(out).toMatch(/^Structured: \{"name":".*","age":-?\d+\}$/m)
})

it('ai-sdk: a stream, a tool in several steps, an answer by a schema', async () => {
  const [code, out, err] = await run(process.execPath, 'ai-sdk/main.ts')
  expect([code, err]).toEqual([0, ''])
  const [stream, , told] = await jobsOf(4)
  expect(out).toContain(`Stream: ${await textOf(stream)}\n`)
  expect(out).toContain(`Tool, in 2 steps: ${await textOf(told)}\n`)
  expect(out).toMatch(/^Structured: \{"name":".*","age":-?\d+\}$/m)
})

it('curl: reads on where it was cut, each event once', async () => {
  const [code, out, err] = await run('bash', 'curl/follow.sh')
  expect([code, err]).toEqual([0, ''])
  expect(out).toMatch(/^# cut; reading on after 1-\d+$/m)
  // What was cut within an event is not one
  const [before, after] = out
    .split(/^# cut.*\n/m)
    .map((part) => [...part.matchAll(/^id: 1-(\d+)$/gm)].map(([, n]) => Number(n)))
  const all = [...before, ...after]
  expect(before.length).toBeGreaterThan(0)
  expect(all).toEqual(all.map((_, i) => i + 1))
  expect(out).toMatch(/event: end\ndata: \{"state":"done"/)
})

it.each(['langchain/main.ts', 'ai-sdk/main.ts', 'curl/follow.sh'])('%s says what to do without a key', async (file) => {
  const [code, out, err] = await run(file.endsWith('.sh') ? 'bash' : process.execPath, file, { SLUICE_API_KEY: '' })
  expect([code, out, err]).toEqual([1, '', expect.stringContaining('Set SLUICE_API_KEY')])
})
