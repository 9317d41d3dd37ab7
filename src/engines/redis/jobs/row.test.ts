import { expect, it } from 'vitest'
import type { JsonRecord } from '../../../core/json.ts'
import { endText, type JobFacts, liveText, packFacts, readEnded, readLive, showEnded, unpackFacts } from './row.ts'

const ID = 'job_00000000000000000000000001'
const PLAIN: JobFacts = {
  id: ID,
  tenant: 'acme',
  keyId: 'key_1',
  kind: 'chat',
  model: 'm',
  bodyHash: 'h',
  bodyBytes: 7,
  isRetry: false,
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
const FULL: JobFacts = {
  ...PLAIN,
  user: 'ann\nbob',
  session: 's',
  kind: 'embedding',
  isRetry: true,
  dialect: 'embeddings',
  shownAs: { include_usage: true },
  takesBack: true,
  document: false,
  metadata: { é: '"\\' },
  requestId: 'req_1',
  trace: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
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

const sent = (facts: JobFacts): JsonRecord => JSON.parse(JSON.stringify(packFacts(facts))) as JsonRecord

it('brings facts over the bus and into the store as they were', () => {
  for (const facts of [PLAIN, FULL, { ...FULL, options: { ...PLAIN.options, conversation: 'c' } }]) {
    expect(unpackFacts(sent(facts))).toEqual(facts)
    const stored = liveText({ facts, seq: 9, acceptedAtMs: 1.5 })
    expect(stored).not.toContain('\n')
    expect(readLive(ID, stored)).toEqual({ facts: { ...facts, isRetry: false }, seq: 9, acceptedAtMs: 1.5 })
  }
})

it('keeps what is usual out of a row', () => {
  expect(liveText({ facts: PLAIN, seq: 1, acceptedAtMs: 1_700_000_000_000 }).length).toBeLessThan(150)
})

it('drops what a later version added, and refuses what is missing or not what it must be', () => {
  const packed = sent(FULL)
  expect(unpackFacts({ ...packed, new: 1, o: { ...(packed['o'] as object), new: 2 } })).toEqual(FULL)
  for (const [name, value] of [
    ['t', undefined],
    ['t', 1],
    ['p', -1],
    ['b', '7'],
    ['e', { a: 1 }],
    ['v', 'song'],
    ['o', null],
    ['o', { p: 'text' }],
    ['o', { ...(packed['o'] as object), r: 'urgent' }],
    ['i', 5],
  ] as const)
    expect(unpackFacts({ ...packed, [name]: value })).toBeNull()
  for (const given of [null, 'x', [], 5]) expect(unpackFacts(given)).toBeNull()
})

it('shows an ended job, and calls a damaged one damaged', () => {
  const error = { message: 'm', type: 'server_error', param: null, code: 'provider_error' }
  const end = { state: 'failed', endedAtMs: 5, attempts: 2, epoch: 1, head: 4, error } as const
  const live = liveText({ facts: FULL, seq: 9, acceptedAtMs: 1 })
  const stored = `123\n${live}\n${endText(end)}`
  const row = readEnded(ID, stored)
  expect(row).toMatchObject({ bytes: 123, seq: 9, end })
  const { isRetry: _retry, bodyBytes: _bytes, ...draft } = FULL
  const { head: _head, ...told } = end
  expect(showEnded(row)).toEqual({ ...draft, ...told, body: new Uint8Array(0), acceptedAtMs: 1 })
  const other = ID.replace('1', '2')
  for (const text of [
    '',
    'x',
    `x\n${live}\n${endText(end)}`,
    `1\n${live}`,
    `1\n${live}\n{}`,
    `1\n${live}\n{"z":"queued","t":1,"n":1,"e":1,"h":1}`,
    stored.replace(ID, other),
  ])
    expect(() => readEnded(ID, text)).toThrow(expect.objectContaining({ code: 'job_damaged' }))
})
