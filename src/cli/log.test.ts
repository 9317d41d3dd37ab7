import { expect, it } from 'vitest'
import { manualClock } from '../../test/manual-clock.ts'
import { ServerLog } from './log.ts'

function logAt(level: ServerLog['level']): { readonly log: ServerLog; readonly lines: string[] } {
  const lines: string[] = []
  return { log: new ServerLog(level, manualClock(), (line) => lines.push(line)), lines }
}
const parsed = (lines: readonly string[]): unknown[] => lines.map((line) => JSON.parse(line))

it('a line is JSON: level, time, what happened, and a message', () => {
  const { log, lines } = logAt('debug')
  log.info({ job: 'job_1', none: undefined, nothing: null, text: 'a "quoted"\nline' }, 'job done')
  log.debug({})
  expect(lines.join('')).toMatch(/^\{"level":"info","time":"\d{4}-.*Z","job":"job_1".*\}\n\{.*\}\n$/)
  expect(parsed(lines)).toEqual([
    { level: 'info', time: expect.any(String), job: 'job_1', nothing: null, text: 'a "quoted"\nline', msg: 'job done' },
    { level: 'debug', time: expect.any(String) },
  ])
})

it('what is below the level is left out, and the level may change', () => {
  const { log, lines } = logAt('warn')
  log.info({}, 'not this')
  log.warn({}, 'this')
  log.level = 'silent'
  log.fatal({}, 'nor this')
  log.level = 'info'
  log.info({}, 'and this')
  expect(parsed(lines)).toMatchObject([{ msg: 'this' }, { msg: 'and this' }])
})

it('an error is shown with its code, its causes and where they come from', () => {
  const { log, lines } = logAt('info')
  const cause = new TypeError('the root', { cause: 'not an error' })
  log.error({ err: Object.assign(new Error('on top', { cause }), { code: 'EIO' }), disk: 1 }, 'failed')
  log.error({ err: 'only text' })
  log.error({ err: new AggregateError([new Error('one'), new Error('two')], 'both') })
  const [first, second, third] = parsed(lines)
  const stack = expect.stringMatching(/^Error: on top\n +at .*\ncaused by: TypeError: the root\n +at /s)
  const err = { type: 'Error', message: 'on top: the root', code: 'EIO', stack }
  expect(first).toMatchObject({ level: 'error', disk: 1, err, msg: 'failed' })
  expect(second).toMatchObject({ err: 'only text' })
  expect(third).toMatchObject({ err: { message: 'both', errors: [{ message: 'one' }, { message: 'two' }] } })
})

it('what can not be written as JSON does not cost the line, nor the process', () => {
  const { log, lines } = logAt('info')
  const endless: Error & { self?: unknown } = new Error('endless')
  endless.cause = endless
  endless.self = endless
  log.warn({ count: 1n }, 'a')
  log.warn({ err: endless }, 'b')
  log.warn({ err: new AggregateError([endless]) }, 'c')
  expect(parsed(lines)).toMatchObject([{ msg: 'a' }, { msg: 'b' }, { msg: 'c' }])
})

it('an error is shown even where a member of it can not be, and what it carries stays out of the log', () => {
  const { log, lines } = logAt('info')
  const request = { headers: { authorization: 'Bearer secret' } }
  const error = Object.assign(new Error('the reason', { cause: new Error('the root') }), { code: 'EIO', request })
  log.fatal({ err: Object.assign(error, { count: 1n, self: error }), job: 'job_1' }, 'ended')
  const stack = expect.stringMatching(/^Error: the reason\n +at .*caused by: Error: the root\n/s)
  const err = { type: 'Error', code: 'EIO', message: 'the reason: the root', stack }
  expect(parsed(lines)).toEqual([{ level: 'fatal', time: expect.any(String), err, job: 'job_1', msg: 'ended' }])
})

it('an error has a bounded length: the sink would drop a line that is too long', () => {
  const { log, lines } = logAt('info')
  const nested = (depth: number): Error =>
    depth === 0 ? new Error('x'.repeat(100_000)) : new AggregateError(Array(20).fill(nested(depth - 1)), 'several')
  log.fatal({ err: nested(0) }, 'one')
  log.fatal({ err: Object.assign(new Error('y'), { path: 'z'.repeat(1 << 20) }) }, 'two')
  log.fatal({ err: nested(3) }, 'three')
  for (const line of lines) expect(line.length).toBeLessThan(256 << 10)
  expect(parsed(lines)).toMatchObject([{ msg: 'one' }, { msg: 'two' }, { err: { message: 'several' }, msg: 'three' }])
})
