/** What the suites of bad input share: a server to be hurt, the form of a refusal, and what must hold afterwards. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { HeldLoop, watchLoop } from './loop.ts'
import { type Answer, chat, request, type SendOptions, send } from './wire.ts'

/** Stands in prompts; must never come back in a refusal, nor be logged. */
export const SECRET_TEXT = 'canary-prompt-5f2c'
/** No test holds the loop for so long, its own share included. */
const HELD_MS = 100

export let app: TestApp
export let foreign: { id: string; key: string }
/** A job that is done, under the idempotency key "once". */
export let jobId: string
const refusals: Answer[] = []

/** To be called first, by each file: files share this module. */
export function beforeAllThat(): void {
  beforeAll(async () => {
    refusals.length = 0
    app = await startTestApp({
      headers_timeout_ms: 500,
      request_timeout_ms: 1_000,
      bad_keys_per_minute: 1_000,
      max_readers_per_job: 3,
    })
    foreign = await app.addKey('stranger')
    const made = await ask(
      'POST',
      '/v1/jobs',
      JSON.stringify({ request: chat('demo: tokens=40 delay=2 ttft=2'), idempotency_key: 'once' }),
    )
    jobId = (JSON.parse(made.body) as { id: string }).id
    await ask('GET', `/v1/jobs/${jobId}/result?wait_ms=50000`)
  })
  afterAll(() => app?.stop())
  let loop: ReturnType<typeof watchLoop>
  beforeEach(() => {
    loop = watchLoop()
    loop.start()
  })
  afterEach(() => {
    const heldMs = loop.stop()
    if (heldMs >= HELD_MS) throw new HeldLoop(heldMs)
  })
}

export const auth = (key = app.key): Record<string, string> => ({ authorization: `Bearer ${key}` })
export const ask = (
  method: string,
  target: string,
  body: string | Buffer = '',
  headers: Record<string, string> = {},
  options: SendOptions = {},
): Promise<Answer> => send(app.port, request(method, target, { ...auth(), ...headers }, body), options)

/** An error of the table, in JSON, and nothing else. */
export async function refused(answer: Promise<Answer>, status: number, code: ErrorCode): Promise<Answer> {
  const got = await answer
  refusals.push(got)
  expect([got.status, got.code], got.body).toEqual([status, code])
  expect(JSON.parse(got.body)).toEqual({
    error: { message: expect.any(String), type: ERRORS[code].type, param: JSON.parse(got.body).error.param, code },
  })
  return got
}

/** To be called last: `refusals` there must have been. */
export function afterAllThat(atLeast: number): void {
  describe('after all that', () => {
    it('the server is well', async () => expect((await ask('GET', '/v1/models')).status).toBe(200))
    it('no refusal and no line of the log holds a secret', () => {
      const said = [...refusals.map((r) => JSON.stringify(r)), ...app.log].join('\n')
      expect(refusals.length).toBeGreaterThanOrEqual(atLeast)
      for (const secret of [app.key, app.key.slice(14), foreign.key, ADMIN_KEY, SECRET_TEXT])
        expect(said.includes(secret)).toBe(false)
    })
    it('nothing was unforeseen', () => {
      expect(refusals.filter((r) => r.code === 'internal')).toEqual([])
      expect(app.log.filter((line) => line.startsWith('something unforeseen'))).toEqual([])
    })
  })
}
