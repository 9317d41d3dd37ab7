/** Tickets are good once and soon; tokens for their session, as long as its key is. */
import { beforeEach, expect, it } from 'vitest'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { systemIds } from '../../core/ids.ts'
import type { ApiKey, Keys } from '../../core/ports/keys.ts'
import { EmbeddedTickets } from '../../engines/embedded/tickets.ts'
import { createSessions, type Sessions } from './sessions.ts'

const SECRET = Buffer.from('a secret of the tests')
const ORIGIN = 'https://app.test'
let now = 0
const clock = { wallMs: () => now, monoMs: () => now } as unknown as Clock
let key: ApiKey
const keys = { get: (id: string) => (id === key.id ? key : null) } as unknown as Keys
let sessions: Sessions
let tickets: EmbeddedTickets

const open = (secret = SECRET): Sessions =>
  createSessions(keys, tickets, clock, systemIds(), {
    secret: () => secret,
    ticketMs: 30_000,
    tokenMs: 600_000,
    sessionMs: 3_600_000,
  })
const code = async (act: () => unknown): Promise<string> => {
  try {
    await act()
    return 'fine'
  } catch (thrown) {
    if (!(thrown instanceof SluiceError)) throw thrown
    return thrown.code
  }
}

beforeEach(() => {
  now = 1_000_000
  key = { id: 'key_1', tenant: 'acme', name: '', hint: '', createdAtMs: 0 }
  tickets = new EmbeddedTickets(clock)
  sessions = open()
})

it('a token has one spelling', async () => {
  const session = { id: 's', keyId: 'key_1', user: 'ann', origin: null, endsAtMs: now + 60_000 }
  const { token } = sessions.token(session)
  expect(await code(() => sessions.verify(token, undefined))).toBe('fine')
  for (const other of [`${token}=`, `${token} `, `${token}.`, `${token}\n`])
    expect(await code(() => sessions.verify(other, undefined))).toBe('invalid_token')
})

it('a ticket is good once, in time', async () => {
  const { ticket, expiresInMs } = await sessions.ticket(key, 'ann', null, null)
  expect(expiresInMs).toBe(30_000)
  expect(await sessions.redeem(ticket, undefined)).toEqual({
    key,
    session: { id: expect.any(String), keyId: 'key_1', user: 'ann', origin: null, endsAtMs: now + 3_600_000 },
  })
  expect(await code(() => sessions.redeem(ticket, undefined))).toBe('invalid_ticket')
  const late = (await sessions.ticket(key, null, null, null)).ticket
  now += 29_999
  const inTime = (await sessions.ticket(key, null, null, null)).ticket
  now += 1
  expect(await code(() => sessions.redeem(late, undefined))).toBe('invalid_ticket')
  expect(await code(() => sessions.redeem(inTime, undefined))).toBe('fine')
  expect(await code(() => sessions.redeem('sluice-ticket-made-up', undefined))).toBe('invalid_ticket')
})

it('one key has so many unused tickets, and drives out none of the others', async () => {
  const others = await sessions.ticket({ ...key, id: 'key_2' }, null, null, null)
  const [first] = await Promise.all(Array.from({ length: 10_000 }, () => sessions.ticket(key, 'ann', null, null)))
  expect(await code(() => sessions.ticket(key, 'ann', null, null))).toBe('rate_limit_exceeded')
  expect((await sessions.ticket({ ...key, id: 'key_2' }, null, null, null)).ticket).not.toBe(others.ticket)
  await sessions.redeem(first.ticket, undefined)
  await sessions.ticket(key, 'ann', null, null)
  expect(await code(() => sessions.ticket(key, 'ann', null, null))).toBe('rate_limit_exceeded')
  now += 30_000
  await sessions.ticket(key, 'ann', null, null)
})

it('a ticket tried from another origin is used up', async () => {
  const { ticket } = await sessions.ticket(key, null, ORIGIN, null)
  expect(await code(() => sessions.redeem(ticket, 'https://evil.test'))).toBe('origin_forbidden')
  expect(await code(() => sessions.redeem(ticket, ORIGIN))).toBe('invalid_ticket')
})

it('a ticket of an origin is refused where no origin is told, and used up', async () => {
  const { ticket } = await sessions.ticket(key, null, ORIGIN, null)
  expect(await code(() => sessions.redeem(ticket, undefined))).toBe('origin_forbidden')
  expect(await code(() => sessions.redeem(ticket, ORIGIN))).toBe('invalid_ticket')
  const { ticket: anyones } = await sessions.ticket(key, null, null, null)
  expect(await sessions.redeem(anyones, undefined)).toMatchObject({ key })
})

it('a token stands for its session, also after a restart, from its own origin', async () => {
  const { session } = await sessions.redeem((await sessions.ticket(key, 'ann', ORIGIN, null)).ticket, ORIGIN)
  const { token, expiresInMs } = sessions.token(session!)
  expect(expiresInMs).toBe(600_000)
  expect(open().verify(token, ORIGIN)).toEqual({ key, session })
  expect(await code(() => sessions.verify(token, 'https://evil.test'))).toBe('origin_forbidden')
  expect(await code(() => open(Buffer.from('another')).verify(token, ORIGIN))).toBe('invalid_token')
  now += 600_000
  expect(await code(() => sessions.verify(token, ORIGIN))).toBe('invalid_token')
})

it('a token that was touched is none', async () => {
  const { token } = sessions.token({ id: 's', keyId: 'key_1', user: 'ann', origin: null, endsAtMs: now + 1_000_000 })
  for (let i = 0; i < token.length; i++) {
    const touched = token.slice(0, i) + (token[i] === 'A' ? 'B' : 'A') + token.slice(i + 1)
    // The last character of base64 may hold bits that do not count
    if (
      Buffer.from(touched.split('.')[1] ?? '', 'base64url').equals(Buffer.from(token.split('.')[1], 'base64url')) &&
      touched.split('.')[0] === token.split('.')[0]
    )
      continue
    expect(await code(() => sessions.verify(touched, undefined)), touched).toBe('invalid_token')
  }
  for (const odd of ['', 'sluice-token-', `${token}.x`, token.slice(13), `sluice-token-${'x'.repeat(5_000)}.y`])
    expect(await code(() => sessions.verify(odd, undefined))).toBe('invalid_token')
})

it('no token goes beyond its session; none is good when the key is not', async () => {
  const short = (await sessions.redeem((await sessions.ticket(key, null, null, 60_000)).ticket, undefined)).session!
  expect(sessions.token(short).expiresInMs).toBe(60_000)
  const long = (await sessions.redeem((await sessions.ticket(key, null, null, 86_400_000)).ticket, undefined)).session!
  expect(long.endsAtMs - now).toBe(3_600_000)
  const { token } = sessions.token(long)
  const { ticket } = await sessions.ticket(key, null, null, null)
  expect(sessions.isStillValid(long)).toBe(true)
  key = { ...key, revokedAtMs: now }
  expect(sessions.isStillValid(long)).toBe(false)
  expect(await code(() => sessions.verify(token, undefined))).toBe('invalid_token')
  expect(await code(() => sessions.redeem(ticket, undefined))).toBe('invalid_ticket')
  key = { ...key, revokedAtMs: undefined as never, expiresAtMs: now }
  expect(sessions.isStillValid(long)).toBe(false)
})

it('a session ends', async () => {
  const { session } = await sessions.redeem((await sessions.ticket(key, null, null, 60_000)).ticket, undefined)
  const { token } = sessions.token(session!)
  now += 60_000
  expect(sessions.isStillValid(session!)).toBe(false)
  expect(await code(() => sessions.verify(token, undefined))).toBe('invalid_token')
})
