/** Tickets are good once and soon; tokens for their session, as long as its key is. */
import { beforeEach, expect, it } from 'vitest'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { systemIds } from '../../core/ids.ts'
import type { ApiKey, Keys } from '../../core/ports/keys.ts'
import { createSessions, type Sessions } from './sessions.ts'

const SECRET = Buffer.from('a secret of the tests')
const ORIGIN = 'https://app.test'
let now = 0
const clock = { wallMs: () => now, monoMs: () => now } as unknown as Clock
let key: ApiKey
const keys = { get: (id: string) => (id === key.id ? key : null) } as unknown as Keys
let sessions: Sessions

const open = (secret = SECRET): Sessions =>
  createSessions(keys, clock, systemIds(), { secret, ticketMs: 30_000, tokenMs: 600_000, sessionMs: 3_600_000 })
const code = (act: () => unknown): string => {
  try {
    act()
    return 'fine'
  } catch (thrown) {
    if (!(thrown instanceof SluiceError)) throw thrown
    return thrown.code
  }
}

beforeEach(() => {
  now = 1_000_000
  key = { id: 'key_1', tenant: 'acme', name: '', hint: '', createdAtMs: 0 }
  sessions = open()
})

it('a token has one spelling', () => {
  const session = { id: 's', keyId: 'key_1', user: 'ann', origin: null, endsAtMs: now + 60_000 }
  const { token } = sessions.token(session)
  expect(code(() => sessions.verify(token, undefined))).toBe('fine')
  for (const other of [`${token}=`, `${token} `, `${token}.`, `${token}\n`])
    expect(code(() => sessions.verify(other, undefined))).toBe('invalid_token')
})

it('a ticket is good once, in time', () => {
  const { ticket, expiresInMs } = sessions.ticket(key, 'ann', null, null)
  expect(expiresInMs).toBe(30_000)
  expect(sessions.redeem(ticket, undefined)).toEqual({
    key,
    session: { id: expect.any(String), keyId: 'key_1', user: 'ann', origin: null, endsAtMs: now + 3_600_000 },
  })
  expect(code(() => sessions.redeem(ticket, undefined))).toBe('invalid_ticket')
  const late = sessions.ticket(key, null, null, null).ticket
  now += 29_999
  const inTime = sessions.ticket(key, null, null, null).ticket
  now += 1
  expect(code(() => sessions.redeem(late, undefined))).toBe('invalid_ticket')
  expect(code(() => sessions.redeem(inTime, undefined))).toBe('fine')
  expect(code(() => sessions.redeem('sluice-ticket-made-up', undefined))).toBe('invalid_ticket')
})

it('one key has so many unused tickets, and drives out none of the others', () => {
  const others = sessions.ticket({ ...key, id: 'key_2' }, null, null, null)
  const [first] = Array.from({ length: 10_000 }, () => sessions.ticket(key, 'ann', null, null))
  expect(code(() => sessions.ticket(key, 'ann', null, null))).toBe('rate_limited')
  expect(sessions.ticket({ ...key, id: 'key_2' }, null, null, null).ticket).not.toBe(others.ticket)
  sessions.redeem(first.ticket, undefined)
  sessions.ticket(key, 'ann', null, null)
  expect(code(() => sessions.ticket(key, 'ann', null, null))).toBe('rate_limited')
  now += 30_000
  sessions.ticket(key, 'ann', null, null)
})

it('a ticket tried from another origin is used up', () => {
  const { ticket } = sessions.ticket(key, null, ORIGIN, null)
  expect(code(() => sessions.redeem(ticket, 'https://evil.test'))).toBe('origin_forbidden')
  expect(code(() => sessions.redeem(ticket, ORIGIN))).toBe('invalid_ticket')
})

it('a token stands for its session, also after a restart, from its own origin', () => {
  const { session } = sessions.redeem(sessions.ticket(key, 'ann', ORIGIN, null).ticket, ORIGIN)
  const { token, expiresInMs } = sessions.token(session!)
  expect(expiresInMs).toBe(600_000)
  expect(open().verify(token, ORIGIN)).toEqual({ key, session })
  expect(code(() => sessions.verify(token, 'https://evil.test'))).toBe('origin_forbidden')
  expect(code(() => open(Buffer.from('another')).verify(token, ORIGIN))).toBe('invalid_token')
  now += 600_000
  expect(code(() => sessions.verify(token, ORIGIN))).toBe('invalid_token')
})

it('a token that was touched is none', () => {
  const { token } = sessions.token({ id: 's', keyId: 'key_1', user: 'ann', origin: null, endsAtMs: now + 1_000_000 })
  for (let i = 0; i < token.length; i++) {
    const touched = token.slice(0, i) + (token[i] === 'A' ? 'B' : 'A') + token.slice(i + 1)
    // The last character of base64 may hold bits that do not count
    if (
      Buffer.from(touched.split('.')[1] ?? '', 'base64url').equals(Buffer.from(token.split('.')[1], 'base64url')) &&
      touched.split('.')[0] === token.split('.')[0]
    )
      continue
    expect(
      code(() => sessions.verify(touched, undefined)),
      touched,
    ).toBe('invalid_token')
  }
  for (const odd of ['', 'sluice-token-', `${token}.x`, token.slice(13), `sluice-token-${'x'.repeat(5_000)}.y`])
    expect(code(() => sessions.verify(odd, undefined))).toBe('invalid_token')
})

it('no token goes beyond its session; none is good when the key is not', () => {
  const short = sessions.redeem(sessions.ticket(key, null, null, 60_000).ticket, undefined).session!
  expect(sessions.token(short).expiresInMs).toBe(60_000)
  const long = sessions.redeem(sessions.ticket(key, null, null, 86_400_000).ticket, undefined).session!
  expect(long.endsAtMs - now).toBe(3_600_000)
  const { token } = sessions.token(long)
  const { ticket } = sessions.ticket(key, null, null, null)
  expect(sessions.isStillValid(long)).toBe(true)
  key = { ...key, revokedAtMs: now }
  expect(sessions.isStillValid(long)).toBe(false)
  expect(code(() => sessions.verify(token, undefined))).toBe('invalid_token')
  expect(code(() => sessions.redeem(ticket, undefined))).toBe('invalid_ticket')
  key = { ...key, revokedAtMs: undefined as never, expiresAtMs: now }
  expect(sessions.isStillValid(long)).toBe(false)
})

it('a session ends', () => {
  const { session } = sessions.redeem(sessions.ticket(key, null, null, 60_000).ticket, undefined)
  const { token } = sessions.token(session!)
  now += 60_000
  expect(sessions.isStillValid(session!)).toBe(false)
  expect(code(() => sessions.verify(token, undefined))).toBe('invalid_token')
})
