/**
 * T1: two users of one tenant are as far apart as two tenants, wherever something is joined, found by its name, or
 * listed.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { app, ask, beforeAllThat } from './suite.ts'
import { HELLO, type User, userOf } from './two-users.ts'
import type { Answer } from './wire.ts'

beforeAllThat()
let ann: User
let bob: User
beforeAll(async () => {
  ann = await userOf(app.port, app.key, 'ann')
  bob = await userOf(app.port, app.key, 'bob')
})

const RETRY = { 'x-stainless-retry-count': '1' }
const LATER = { prefer: 'respond-async' }
const idOf = (answer: Answer): string => answer.headers['sluice-job'] ?? (JSON.parse(answer.body) as { id: string }).id

describe('the same bytes of two users', () => {
  it.each<[string, object, Record<string, string>]>([
    ['plain', { text: 'plain' }, {}],
    ['a stream', { text: 'stream', stream: true }, {}],
    ['later', { text: 'later' }, LATER],
    ['in a conversation', { text: 'conversation', sluice: { conversation: 'c1' } }, LATER],
    ['in a lane', { text: 'lane', sluice: { lane: 'l1' } }, LATER],
  ])('a retry joins only its own user: %s', async (_name, more, headers) => {
    const body = { ...HELLO, ...more }
    const first = idOf(await ann.ask('POST', '/v1/chat/completions', body, headers))
    expect(idOf(await bob.ask('POST', '/v1/chat/completions', body, { ...headers, ...RETRY }))).not.toBe(first)
    expect(idOf(await ask('POST', '/v1/chat/completions', JSON.stringify(body), { ...headers, ...RETRY }))).not.toBe(
      first,
    )
    expect(idOf(await ann.ask('POST', '/v1/chat/completions', body, { ...headers, ...RETRY }))).toBe(first)
  })

  it('a retry under an idempotency key joins by that key alone', async () => {
    const body = { ...HELLO, text: 'keyed' }
    const keyed = (key: string, more = {}): Promise<Answer> =>
      ann.ask('POST', '/v1/chat/completions', body, { ...LATER, 'idempotency-key': key, ...more })
    const first = idOf(await keyed('k1'))
    expect(idOf(await keyed('k2', RETRY))).not.toBe(first)
    expect(idOf(await keyed('k1', RETRY))).toBe(first)
  })

  it("an idempotency key is its user's own", async () => {
    const keyed = (who: User): Promise<Answer> =>
      who.ask('POST', '/v1/jobs', { request: HELLO, idempotency_key: 'mine' })
    const first = await keyed(ann)
    const other = await keyed(bob)
    expect([first.status, other.status]).toEqual([202, 202])
    expect(idOf(other)).not.toBe(idOf(first))
  })

  it("what the API key did under a name in a user's name space, for somebody else, is not joined", async () => {
    const made = await ask(
      'POST',
      '/v1/jobs',
      JSON.stringify({ request: { ...HELLO, user: 'bob' }, idempotency_key: 'ann/shared' }),
    )
    expect(made.status).toBe(202)
    const got = await ann.ask('POST', '/v1/jobs', { request: { ...HELLO, user: 'bob' }, idempotency_key: 'shared' })
    expect([got.status, got.code]).toEqual([403, 'forbidden'])
    const same = await ann.ask('POST', '/v1/jobs', { request: HELLO, idempotency_key: 'shared' })
    expect([same.status, same.code]).toEqual([422, 'idempotency_conflict'])
  })
})

describe('a job of another user is not there', () => {
  it.each<[string, string, string, object?]>([
    ['look', 'GET', ''],
    ['result', 'GET', '/result?wait_ms=1'],
    ['request', 'GET', '/request'],
    ['events', 'GET', '/events'],
    ['events of the chat dialect', 'GET', '/events?dialect=chat'],
    ['cancel', 'POST', '/cancel', {}],
    ['redrive', 'POST', '/redrive', {}],
    ['erase', 'DELETE', ''],
  ])('%s', async (_name, method, path, body) => {
    const id = idOf(await ann.ask('POST', '/v1/jobs', { request: HELLO }))
    const got = await bob.ask(method, `/v1/jobs/${id}${path}`, body, { accept: 'text/event-stream' })
    expect([got.status, got.code]).toEqual([404, 'job_not_found'])
    expect((await ann.ask('GET', `/v1/jobs/${id}`)).status).toBe(200)
  })

  it('nor in lists, whatever is asked for', async () => {
    const made = [
      await ann.ask('POST', '/v1/jobs', { request: HELLO, lane: 'l' }),
      await ann.ask('POST', '/v1/jobs', { request: HELLO, conversation: 'c' }),
    ].map(idOf)
    for (const query of [
      '',
      '&lane=l',
      '&lane=ann/l',
      '&lane=ann%2Fl',
      '&conversation=c',
      '&conversation=ann/c',
      '&user=ann',
      '&tenant=default',
    ]) {
      const list = await bob.ask('GET', `/v1/jobs?limit=1000${query}`)
      for (const id of made) expect(list.body, query).not.toContain(id)
    }
    for (const path of ['/v1/conversations', '/v1/conversations?limit=1000'])
      expect((await bob.ask('GET', path)).body).not.toContain('ann')
  })
})

describe('a session names no other user to the provider', () => {
  const request = (members: string): string =>
    `{"model":"demo",${members},"messages":[{"role":"user","content":"demo: tokens=1 delay=1 ttft=1"}]}`
  const others: ReadonlyArray<readonly [string, string]> = [
    ['user', '"user":"bob"'],
    ['safety_identifier', '"safety_identifier":"bob"'],
    ['safety_identifier beside its own user', '"user":"ann","safety_identifier":"bob"'],
    ['user beside its own safety_identifier', '"safety_identifier":"ann","user":"bob"'],
    ['userId in metadata', '"metadata":{"userId":"bob"}'],
    ['end-user', '"end-user":"bob"'],
    ['as a number', '"user_id":7'],
    ['metadata.user_id', '"metadata":{"user_id":"bob"}'],
    ['end_user', '"end_user":"bob"'],
    ['endUser', '"endUser":"bob"'],
    ['metadata.USER', '"metadata":{"USER":"bob"}'],
  ]
  /** For which there is no second reading: see one-reading.test.ts. */
  const twofold: ReadonlyArray<readonly [string, string]> = [
    ['twice, the last one its own', '"user":"bob","user":"ann"'],
    ['in other letters, as some servers read it', '"User":"bob"'],
    ['in a letter that folds to one of ours', '"uſer":"bob"'],
    ['by an escape', '"\\u0075ser":"bob","user":"ann"'],
    ['metadata twice', '"metadata":{"user_id":"bob"},"metadata":{"user_id":"ann"}'],
    ['metadata.user_id twice', '"metadata":{"user_id":"bob","user_id":"ann"}'],
  ]
  const post = (who: User, target: string, body: string, headers: Record<string, string> = {}): Promise<Answer> =>
    who.ask('POST', target, body, headers)

  it.each([
    ...others.map(([name, members]) => [name, members, 403, 'forbidden'] as const),
    ...twofold.map(([name, members]) => [name, members, 400, 'invalid_request'] as const),
  ])('%s', async (_name, members, status, code) => {
    for (const answer of [
      await post(ann, '/v1/chat/completions', request(members)),
      await post(ann, '/v1/jobs', `{"request":${request(members)}}`),
      await post(ann, '/v1/embeddings', `{"model":"demo","input":"x",${members}}`),
    ])
      expect([answer.status, answer.code]).toEqual([status, code])
    const many = JSON.parse((await post(ann, '/v1/jobs', `{"jobs":[{"request":${request(members)}}]}`)).body)
    expect(many.data[0].error.code).toBe(code)
  })
  it('sluice-user, beside its own in the body', async () => {
    const got = await post(ann, '/v1/chat/completions', request('"user":"ann"'), { 'sluice-user': 'bob' })
    expect([got.status, got.code]).toEqual([403, 'forbidden'])
  })
  it.each([
    ['its own', '"user":"ann","safety_identifier":"ann","metadata":{"user_id":"ann","thread":"7"}'],
    ['null', '"user":null'],
  ])('%s is no harm', async (_name, members) => {
    expect((await post(ann, '/v1/chat/completions', request(members))).status).toBe(200)
  })
})
