import { expect, test } from 'vitest'
import { SluiceError } from '../../../core/errors.ts'
import { packOutcome, readCommands, unpackOutcome, writeRequests } from './commands.ts'
import { packError, unpackError } from './errors.ts'
import { readBeats, readControl, readMail } from './messages.ts'
import { fenceOf, readEnded, readLive, readRun, writeRun } from './rows.ts'

const cancel = { type: 'cancel', from: 'p1', n: 7, id: 'job_1' } as const

test('commands: what was written is read', () => {
  expect(readCommands(writeRequests([cancel]), () => {})).toEqual([cancel])
})

test('commands of a later version are handed back with who asked; the others are taken', () => {
  const unknown: unknown[] = []
  const entry = JSON.stringify([
    { type: 'sing', from: 'p2', n: 3 },
    { ...cancel, soft: true },
  ])
  expect(readCommands(entry, (asked) => unknown.push(asked))).toEqual([{ ...cancel, soft: true }])
  expect(unknown).toEqual([{ from: 'p2', n: 3 }])
})

test('a selector with a member of a later version is not taken for a wider one', () => {
  const unknown: unknown[] = []
  const entry = JSON.stringify([{ type: 'pause', from: 'p', n: 1, selector: { tenant: 't', user: 'u' } }])
  expect(readCommands(entry, (asked) => unknown.push(asked))).toEqual([])
  expect(unknown.length).toBe(1)
})

test.each(['', '{', 'null', '7', '{}', '[7, null, "x", []]', '[{"type":"cancel"}]', '[{"type":"toString","n":1}]'])(
  'commands: %s is none',
  (entry) => {
    expect(readCommands(entry, () => {})).toEqual([])
  },
)

test('errors keep all but their cause, and an unknown code becomes internal', () => {
  const error = new SluiceError('provider_error', {
    message: 'm',
    param: 'p',
    status: 418,
    retryAfterMs: 5,
    upstreamCode: 'u',
  })
  expect(unpackError(JSON.parse(JSON.stringify(packError(error))))).toEqual(error)
  const later = unpackError({ code: 'of_tomorrow', message: 'm' })
  expect(later.code).toBe('internal')
  expect(later.message).toBe('m')
})

test('outcomes: a failure keeps its error', () => {
  const outcome = { kind: 'failed', error: new SluiceError('provider_cut'), retry: 'elsewhere' } as const
  expect(unpackOutcome(JSON.parse(JSON.stringify(packOutcome(outcome))))).toEqual(outcome)
})

test('run rows begin with the fence of appends', () => {
  const tally = { attempts: 2, fails: 1, deaths: 0, crashes: 0, ranMs: 3, ttftMs: null }
  const claim = { deployment: 'd', reservation: null }
  const row = {
    attempt: 2,
    worker: 'p.1',
    tally,
    failedAt: [],
    claim,
    notBeforeAtMs: 0,
    canceling: false,
    leasedAtMs: 7,
  }
  const stored = writeRun(row)
  expect(stored.startsWith(fenceOf(2, 'p.1'))).toBe(true)
  expect(readRun(stored)).toEqual(row)
  expect(readRun(writeRun({ ...row, worker: null, claim: null, attempt: 0 }))?.worker).toBe(null)
})

test.each(['', '1', '1 w', '1 w x', '1 w {}', 'x y {"tally":{},"failedAt":[]}'])('run rows: "%s" is damaged', (row) => {
  expect(readRun(row)).toBe(null)
})

test.each(['', '[]', '{}', '{"id":7}', '{"id":"x","seq":-1}'])('rows: %s is damaged', (row) => {
  expect(readLive(row)).toBe(null)
  expect(readEnded(row)).toBe(null)
})

test('mail: rows and bodies come behind their leases, and may be any bytes', () => {
  const lease = { worker: 'w', id: 'job_1', row: '{}', bodyBytes: 0, attempt: 1, crashes: 0, claim: {} }
  const json = JSON.stringify([
    { type: 'leased', leases: [lease, lease, lease] },
    { type: 'answer', n: 1, is: null },
    { type: 'revoked', worker: 7 },
  ])
  const body = Buffer.from([10, 0, 255, 44])
  const mail = Buffer.concat([Buffer.from(`${json}\n4 0 -,-1 7 12,0 9 -\n`), body])
  const { messages, enclosed } = readMail(mail)
  expect(messages.map(({ type }) => type)).toEqual(['leased', 'answer'])
  expect(enclosed).toEqual([
    { row: null, body, head: 0, ttftMs: null },
    { row: null, body: null, head: 7, ttftMs: 12 },
    { row: null, body: Buffer.alloc(0), head: 9, ttftMs: null },
  ])
  const withRows = Buffer.concat([Buffer.from(`${json}\n4 0 - 4,-1 7 12 3,0 9 - 0\n"ü"`), body, Buffer.from('{2}')])
  expect(readMail(withRows).enclosed).toEqual([
    { row: '"ü"', body, head: 0, ttftMs: null },
    { row: '{2}', body: null, head: 7, ttftMs: 12 },
    { row: null, body: Buffer.alloc(0), head: 9, ttftMs: null },
  ])
  expect(readMail(Buffer.from(json)).enclosed).toEqual([])
})

test('beats and control messages: what is none is ignored', () => {
  const beat = { type: 'beat', version: 1, process: 'p', workers: [], charges: [['job', 1, 5]] }
  expect(readBeats(JSON.stringify([beat, { ...beat, charges: [['job', 1]] }]))).toEqual([beat])
  expect(readControl('{"type":"coordinator","host":"h","term":"1.h","settled":true}')).not.toBe(null)
  expect(readControl('{"type":"coordinator"}')).toBe(null)
  expect(readControl('{"type":"free"}')).toEqual({ type: 'free' })
  expect(readControl('{"type":"broken","host":"h"}')).toBeNull()
  const broken = { type: 'broken', host: 'h', reason: 'r' }
  expect(readControl(JSON.stringify(broken))).toEqual(broken)
  expect(readControl('x')).toBe(null)
})
