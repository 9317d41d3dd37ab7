import { expect, it } from 'vitest'
import { SluiceError } from '../../../core/errors.ts'
import type { JsonRecord } from '../../../core/json.ts'
import { readCommands, type Submit, writeRequests } from './commands.ts'
import { type Facts, packFacts, unpackFacts } from './facts.ts'
import { endedJob, type LiveRow, readEnded, readLive, readRun, writeEnd, writeLive, writeRun } from './rows.ts'

const ID = 'job_00000000000000000000000001'
const PLAIN: Facts = {
  tenant: 'acme',
  keyId: 'key_1',
  kind: 'chat',
  model: 'm',
  bodyHash: 'h',
  dialect: 'chat',
  takesBack: false,
  promptTokens: 3,
  options: {
    pool: 'text',
    priority: 'normal',
    deadlineMs: 60_000,
    policy: 'wait',
    onWorkerLoss: 'continue',
    onDisconnect: 'continue',
  },
}
const FULL: Facts = {
  ...PLAIN,
  user: 'ann\nbob',
  session: 's',
  kind: 'embedding',
  dialect: 'embeddings',
  shownAs: { include_usage: true },
  takesBack: true,
  document: false,
  maxOutputTokens: 0,
  route: '',
  run: 'a run\n',
  price: { input: 2_500, output: 0.5 },
  metadata: { é: '"\\' },
  requestId: 'req_1',
  trace: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  webhook: 'hook',
  tells: 'job',
  redriveOf: ID,
  options: {
    lane: 'l',
    pool: 'p',
    priority: 'high',
    delayMs: 5,
    deadlineMs: 60_000,
    idempotencyKey: 'k',
    policy: 'reject',
    onWorkerLoss: 'fail',
    onDisconnect: 'cancel',
  },
}

const sent = (facts: Facts): JsonRecord => JSON.parse(JSON.stringify(packFacts(facts))) as JsonRecord
const row = (facts: Facts): LiveRow => ({
  id: ID,
  seq: 9,
  acceptedAtMs: 1.5,
  epoch: 1,
  from: 'p',
  bodyBytes: 7,
  facts,
})

it('brings facts over the bus and into the store as they were', () => {
  for (const facts of [PLAIN, FULL, { ...FULL, options: { ...PLAIN.options, conversation: 'c' } }]) {
    expect(unpackFacts(sent(facts))).toEqual(facts)
    expect(writeLive(row(facts))).not.toContain('\n')
    expect(readLive(writeLive(row(facts)))).toEqual(row(facts))
    const items = [{ id: ID, facts, bodyBytes: 7, isRetry: true }]
    const submit: Submit = { type: 'submit', from: 'p', n: 1, untilMs: 5, items }
    expect(readCommands(writeRequests([submit]), () => {})).toEqual([submit])
  }
})

it('keeps what is usual out of a row', () => {
  expect(writeLive({ ...row(PLAIN), acceptedAtMs: 1_700_000_000_000 }).length).toBeLessThan(170)
})

it('drops what a later version added, and refuses what is missing or not what it must be', () => {
  const packed = sent(FULL)
  expect(unpackFacts({ ...packed, new: 1, o: { ...(packed['o'] as object), new: 2 } })).toEqual(FULL)
  for (const [name, value] of [
    ['t', undefined],
    ['t', 1],
    ['p', -1],
    ['e', { a: 1 }],
    ['v', 'song'],
    ['o', null],
    ['o', { p: 'text' }],
    ['o', { ...(packed['o'] as object), r: 'urgent' }],
  ] as const)
    expect(unpackFacts({ ...packed, [name]: value })).toBeNull()
  for (const given of [null, 'x', [], 5]) expect(unpackFacts(given)).toBeNull()
  const refused: unknown[] = []
  const items = [{ id: ID, facts: {}, bodyBytes: 7, isRetry: true }]
  const entry = JSON.stringify([{ type: 'submit', from: 'p', n: 4, untilMs: 5, items }])
  expect(readCommands(entry, (asked) => refused.push(asked))).toEqual([])
  expect(refused).toEqual([{ from: 'p', n: 4 }])
})

it('shows an ended job, and knows a damaged row', () => {
  const error = new SluiceError('provider_error').wire
  const end = { attempts: 2, endedAtMs: 5, end: { state: 'failed', status: 418, error } } as const
  const stored = `123 2 4\n${writeLive(row(FULL))}\n${writeEnd(end)}`
  const read = readEnded(stored)!
  expect(read).toEqual({ ...row(FULL), ...end, bytes: 123, epoch: 2, head: 4 })
  expect(endedJob(read)).toEqual({
    ...FULL,
    id: ID,
    body: new Uint8Array(0),
    state: 'failed',
    epoch: 2,
    attempts: 2,
    acceptedAtMs: 1.5,
    endedAtMs: 5,
    error,
  })
  const [first, live, last] = stored.split('\n')
  for (const text of ['', 'x', `x\n${live}\n${last}`, `${first}\n${live}`, `${first}\n{}\n${last}`])
    expect(readEnded(text)).toBeNull()
  expect(readEnded(`${first}\n${live}\n{"n":1,"t":2}`)).toBeNull()
})

it('brings what a job holds into its rows; what can not be read of that holds nothing', () => {
  const reservation = { inputTokens: 3, outputTokens: 64, requests: 1, nanoDollars: 1_500 }
  const waiting = { ...row(PLAIN), reservation }
  expect(readLive(writeLive(waiting))).toEqual(waiting)
  for (const h of [null, 5, [1, 2, 3], [1, 2, 3, -1], [1, 2, 3, 'x']])
    expect(readLive(JSON.stringify({ ...JSON.parse(writeLive(waiting)), h }))).toEqual(row(PLAIN))
  const tally = { attempts: 1, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }
  const rest = { tally, failedAt: [], notBeforeAtMs: 0, canceling: false, leasedAtMs: 5 }
  const runs = { attempt: 1, worker: 'p.1', claim: { deployment: 'd', reservation }, ...rest }
  expect(readRun(writeRun(runs))).toEqual(runs)
  for (const damaged of [undefined, 'r', { ...reservation, requests: -1 }, { ...reservation, nanoDollars: NaN }]) {
    const claim = { deployment: 'd', reservation: damaged as never }
    expect(readRun(writeRun({ ...runs, claim }))?.claim).toEqual({ deployment: 'd', reservation: null })
  }
  for (const claim of [null, 'd', { reservation }] as never[])
    expect(readRun(writeRun({ ...runs, claim }))?.claim).toBeNull()
})
