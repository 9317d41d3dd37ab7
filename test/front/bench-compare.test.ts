/** The benchmark tells a queue from a slow model: real runs, through a real Sluice, of an upstream that is known. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { compareRuns } from '../../src/bench/compare.ts'
import type { MeasuredRun } from '../../src/bench/effects.ts'
import { readRunFolder } from '../../src/bench/files.ts'
import type { Attribution, Part } from '../../src/core/comparison.ts'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { startTestApp, type TestApp } from './app.ts'

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts')
const ROUNDS = ['--rounds', '8', '--round', '8req', '--idle', '3', '--warmup', '4', '--concurrency', '4', '--quiet']

let mock: MockServer
let app: TestApp
let dir: string

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-compare-'))
  mock = await startMock({ port: 0 })
  const model = { provider: 'openai-compatible', base_url: `${mock.url}/v1` }
  app = await startTestApp(
    {},
    {
      models: [
        { ...model, name: 'chat', deployment: 'chat', model: 'mock-n20-d8-f80' },
        { ...model, name: 'queued', deployment: 'queued', model: 'mock-n20-d8-f80', limits: { concurrent: 1 } },
        { ...model, name: 'slower', deployment: 'slower', model: 'mock-n20-d30-f80' },
      ],
    },
  )
  for (const name of ['chat', 'queued', 'slower']) await measure(name)
}, 120_000)
afterAll(async () => {
  await app?.stop()
  await mock?.close()
  rmSync(dir, { recursive: true, force: true })
})

/** In a process of its own, as users do. A wait in line is no reason to refuse here. */
async function measure(model: string): Promise<void> {
  const target = ['--target', `http://127.0.0.1:${app.port}`, '--model', model, '--label', model, '--out', dir]
  const body = ['--body', '{"sluice":{"deadline_ms":600000}}']
  const child = spawn(process.execPath, [MAIN, 'bench', 'run', ...target, ...ROUNDS, ...body], {
    env: { ...process.env, SLUICE_BENCH_KEY: app.key },
    stdio: 'ignore',
  })
  await new Promise((done) => child.once('exit', done))
  expect(existsSync(join(dir, model, 'run.json'))).toBe(true)
}

/** A busy machine may spoil the client; what is tried here is where differences are found. */
function runOf(name: string): MeasuredRun {
  const { run, records } = readRunFolder(join(dir, name))
  // They are models of one upstream, so that one Sluice can have them all
  const options = { ...run.options, model: 'chat' }
  return { run: { ...run, options, validity: { isValid: true, checks: [] } }, records }
}

const compared = (after: string) =>
  compareRuns(runOf('chat'), runOf(after), { margin: 0.05, across: new Set(), atMs: 0 })

const outcomeOf = ({ effects }: ReturnType<typeof compared>, of: string) =>
  effects.find(({ metric }) => metric === of)?.outcome

const share = ({ parts, deltaMs }: Attribution, part: Part): number =>
  parts.find((each) => each.part === part)!.deltaMs / deltaMs

it('a queue is blamed on the queue, and not on the model', () => {
  const found = compared('queued')
  expect(found.sentence).toMatch(/^Time to first token is worse by .* It is the queue, not the model\.$/)
  const [ttft] = found.attributions
  expect(ttft.source).toBe('server')
  // Two or three others are before each, of some 230 ms: 500 ms, and more where the machine is busy
  expect(ttft.deltaMs).toBeGreaterThan(400)
  expect(share(ttft, 'queue')).toBeGreaterThan(0.9)
})

it('a slower model shows in its pace, and is called the model', async () => {
  let found = compared('slower')
  // What else the machine did meanwhile shows as a slower first token: they are measured again
  for (let again = 0; again < 2 && outcomeOf(found, 'ttft-mean') === 'worse'; again++) {
    for (const name of ['chat', 'slower']) {
      rmSync(join(dir, name), { recursive: true })
      await measure(name)
    }
    found = compared('slower')
  }
  expect(outcomeOf(found, 'tpot-p50')).toBe('worse')
  expect(outcomeOf(found, 'ttft-mean')).not.toBe('worse')
  expect(found.sentence).toMatch(/^Time per output token is worse by .* It is the model, not the queue\.$/)
  const pace = found.attributions.find(({ of }) => of === 'tpot-mean')!
  expect(share(pace, 'decode')).toBeGreaterThan(0.8)
})

it('the key is in no file of a run', () => {
  for (const file of ['run.json', 'records.jsonl', 'report.html'])
    expect(readFileSync(join(dir, 'chat', file), 'utf8')).not.toContain(app.key)
})
