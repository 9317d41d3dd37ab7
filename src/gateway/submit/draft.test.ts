/** From a request to a draft: which bytes are kept, what makes two requests the same, which options are defaults. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { depth } from '../../../test/depth.ts'
import { manualClock } from '../../../test/manual-clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { JobDraft, JobKind } from '../../core/job.ts'
import type { Tokens } from '../../core/ports/prices.ts'
import type { Weighed } from '../../core/ports/weights.ts'
import { DIALECTS } from '../../dialects/index.ts'
import type { Caller } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'
import { type JsonBody, memberBytes, parseBody } from '../http/body.ts'
import { dialectDraft, jobDraft, type Spoken } from './draft.ts'

const LIMITS = { maxDepth: 64, maxKeys: 10_000 }
const weighed: Weighed[] = []
const deps = {
  weights: {
    weigh(asked: Weighed) {
      weighed.push(asked)
      return { tokens: 7, own: 1, exact: true, family: 'demo', isPlain: true }
    },
  },
  clock: manualClock(),
  ownKeys: { covers: () => false },
  prices: {
    dearest: () => ({
      version: '1',
      cost: ({ input, output }: Tokens) => 5 + 150 * input + (input > 5 ? 600 : 400) * output,
    }),
  },
  models: {
    resolve: (name: string) =>
      name === 'demo'
        ? {
            pool: 'text',
            kinds: ['chat', 'embedding'],
            upstreamModel: 'gpt-4o',
            deployments: [{}, { tags: ['eu', 'fast'] }],
          }
        : null,
    list: () => [],
  },
  dialects: DIALECTS,
  beginSpan: null,
  options: { plainDeadlineMs: 60_000, jobDeadlineMs: 86_400_000, sessions: { maxDelayMs: 3_600_000 } },
} as unknown as GatewayDeps

const ORIGIN = { requestId: 'req_1', startedMono: 0, uploadMs: 0, trace: null }
const spoken = (kind: JobKind): Spoken => {
  const dialect = DIALECTS.spoken.find(({ requests: [form] }) => form.kind === kind)!
  return { dialect, form: dialect.requests[0] }
}
const caller = { key: { id: 'key_1', tenant: 'acme' }, session: null } as unknown as Caller
const plain = (raw: string, headers: Record<string, string> = {}, isPlain = true): JobDraft =>
  dialectDraft(deps, caller, headers, parseBody(Buffer.from(raw), LIMITS), spoken('chat'), isPlain, ORIGIN).job
const job = (raw: string, headers: Record<string, string> = {}): JobDraft =>
  madeJob(parseBody(Buffer.from(raw), LIMITS), headers)
const madeJob = (body: JsonBody, headers: Record<string, string>): JobDraft =>
  jobDraft(deps, caller, body.value, memberBytes(body, 'request'), headers, ORIGIN).job
const text = (draft: JobDraft): string => Buffer.from(draft.body).toString()

const MESSAGES = '"messages":[{"role":"user","content":"hello"}]'
const BODY = `{"model":"demo",${MESSAGES}}`

it('tags are of a deployment that there is; as a header they are one text', () => {
  expect(plain(BODY).needs).toBeUndefined()
  expect(plain(`{"sluice":{"tags":["eu"]},${BODY.slice(1)}`).needs).toEqual({ can: [], tags: ['eu'] })
  expect(plain(BODY, { 'sluice-tags': 'fast, eu' }).needs?.tags).toEqual(['fast', 'eu'])
  const refused = (tags: string) => () => plain(`{"sluice":{"tags":${tags}},${BODY.slice(1)}`)
  expect(refused('["eh"]')).toThrow('No deployment of this model has the tag "eh". Did you mean "eu"?')
  expect(refused('["a b"]')).toThrow('"tags" must be at most 8 tags')
  expect(refused(JSON.stringify(Array.from({ length: 9 }, () => 'eu')))).toThrow('at most 8')
  expect(refused('{}')).toThrow('at most 8')
})

it('what a chat begins with goes along where there is a choice; a conversation has it in its name', () => {
  expect(plain(BODY).affinity).toMatch(/^[\w-]{16}$/)
  expect(plain(`{"sluice":{"conversation":"c"},${BODY.slice(1)}`).affinity).toBeUndefined()
})

describe('the bytes that are kept', () => {
  it('are the very bytes of the client', () => {
    const raw = `{ "model": "demo",\n ${MESSAGES}, "big": 9007199254740993, "e": 1.50, "é": "\\u00e9" }`
    expect(text(plain(raw))).toBe(raw)
  })
  it('lack the options, and nothing else', () => {
    const draft = plain(
      `{"sluice":{"lane":"a"},"model":"demo",${MESSAGES},"big":9007199254740993,"sluice":{"lane":"b"}}`,
    )
    expect(text(draft)).toBe(`{"model":"demo",${MESSAGES},"big":9007199254740993}`)
    expect(draft.options.lane).toBe('b')
  })
  it('of a job are those of its request', () => {
    const request = `{"model":"demo", ${MESSAGES}, "big":9007199254740993 }`
    expect(text(job(`{"priority":"low","request": ${request} ,"lane":"a"}`))).toBe(request)
  })
})

describe('two requests are the same', () => {
  it('when their bytes and the options in their headers are', () => {
    const { bodyHash } = plain(BODY)
    expect(plain(BODY).bodyHash).toBe(bodyHash)
    expect(plain(BODY, { 'x-stainless-retry-count': '1', 'user-agent': 'x' }).bodyHash).toBe(bodyHash)
    for (const other of [plain(`${BODY} `), plain(BODY, { 'sluice-lane': 'a' }), plain(BODY, { 'sluice-user': 'u' })])
      expect(other.bodyHash).not.toBe(bodyHash)
    expect(plain(BODY, { 'sluice-lane': 'a' }).bodyHash).not.toBe(plain(BODY, { 'sluice-pool': 'a' }).bodyHash)
  })
  it('under an idempotency key, when they mean the same', () => {
    const key = { 'idempotency-key': 'k' }
    const { bodyHash } = plain(BODY, key)
    expect(plain(BODY.replaceAll(',', ' ,\n'), { ...key, 'user-agent': 'x' }).bodyHash).toBe(bodyHash)
    expect(job(`{"request":${BODY},"idempotency_key":"k"}`).bodyHash).toBe(bodyHash)
    for (const other of [plain(`${BODY.slice(0, -1)},"n":1}`, key), plain(BODY, { ...key, 'sluice-lane': 'a' })])
      expect(other.bodyHash).not.toBe(bodyHash)
  })
  it('as jobs, when their requests and options are, and never the same as a plain one', () => {
    const { bodyHash } = job(`{"request":${BODY}}`)
    expect(job(`{ "request" : ${BODY} }`).bodyHash).toBe(bodyHash)
    expect(job(`{"request":${BODY},"lane":"a","pool":"p"}`).bodyHash).toBe(
      job(`{"pool":"p","lane":"a","request":${BODY}}`).bodyHash,
    )
    for (const other of [
      plain(BODY),
      job(`{"request":${BODY.replace('hello', 'hullo')}}`),
      job(`{"request":${BODY},"lane":"a"}`),
      job(`{"request":${BODY}}`, { 'sluice-lane': 'a' }),
    ])
      expect(other.bodyHash).not.toBe(bodyHash)
  })
  it('and are joined only by who says that it repeats', () => {
    expect(
      [undefined, '0', 'x', '1', '2'].map(
        (n) => plain(BODY, n === undefined ? {} : { 'x-stainless-retry-count': n }).isRetry,
      ),
    ).toEqual([false, false, false, true, true])
  })
})

describe('options', () => {
  const { options: said } = plain(BODY)
  it('of a plain POST by default', () => {
    expect(said).toEqual({
      pool: 'text',
      priority: 'normal',
      deadlineMs: 60_000,
      policy: 'reject',
      onWorkerLoss: 'continue',
      onDisconnect: 'cancel',
    })
  })
  it.each<[string, JobDraft, Partial<JobDraft['options']>]>([
    [
      'of one that is not waited for',
      plain(BODY, {}, false),
      { deadlineMs: 86_400_000, policy: 'wait', onDisconnect: 'continue' },
    ],
    ['of a job', job(`{"request":${BODY}}`), { deadlineMs: 86_400_000, policy: 'wait', onDisconnect: 'continue' }],
    [
      'of a keyed POST',
      plain(BODY, { 'idempotency-key': 'k' }),
      { idempotencyKey: 'k', policy: 'reject', onDisconnect: 'continue' },
    ],
    [
      'of a conversation',
      plain(BODY, { 'sluice-conversation': 'c' }),
      { conversation: 'c', deadlineMs: 86_400_000, policy: 'wait', onDisconnect: 'continue' },
    ],
    ['of a delayed one', plain(BODY, { 'sluice-delay-ms': '5000' }), { delayMs: 5_000, deadlineMs: 65_000 }],
    [
      'in headers',
      plain(BODY, { 'sluice-on-worker-loss': 'fail', 'sluice-priority': 'high', 'sluice-deadline-ms': '7' }),
      { onWorkerLoss: 'fail', priority: 'high', deadlineMs: 7 },
    ],
    [
      'in the body, over headers',
      plain(`{"sluice":{"priority":"low"},"model":"demo",${MESSAGES}}`, { 'sluice-priority': 'high' }),
      { priority: 'low' },
    ],
    [
      'our own key header, over the common one',
      plain(BODY, { 'sluice-idempotency-key': 'a', 'idempotency-key': 'b' }),
      { idempotencyKey: 'a' },
    ],
  ])('%s', (_name, draft, options) => {
    expect(draft.options).toMatchObject(options)
  })
  it.each([
    ['run', 'a', 'b'],
    ['parent', `job_${'0'.repeat(26)}`, `job_${'1'.repeat(26)}`],
    ['idempotency_key', 'a', 'b'],
  ])('that hold a job are the same in header and body: %s', (name, one, other) => {
    const header = { [`sluice-${name.replaceAll('_', '-')}`]: one }
    const saying = (value?: string): string => JSON.stringify({ ...JSON.parse(BODY), sluice: { [name]: value } })
    expect(() => plain(saying(other), header)).toThrow(`The body has one "${name}" and a header another`)
    const agreed = [plain(saying(one), header), plain(saying(), header), plain(saying(one), {})]
    for (const draft of agreed) expect([draft.run, draft.parent, draft.options.idempotencyKey]).toContain(one)
  })
  it('that are none are named, with the nearest', () => {
    expect(() => plain(BODY, { 'sluice-prioritty': 'high' })).toThrow('Did you mean "sluice-priority"?')
    expect(() => job(`{"request":${BODY},"delayms":5}`)).toThrow('Did you mean "delay_ms"?')
    expect(() => plain(BODY, { 'sluice-metadata': 'x' })).toThrow('is not a Sluice header')
  })
})

describe('what else is noted', () => {
  it('the end user, the strongest name first', () => {
    const body = (more: string): string => `{"model":"demo",${MESSAGES}${more}}`
    expect(plain(body(''), { 'sluice-user': 'h' }).user).toBe('h')
    expect(plain(body(',"user":"u"'), { 'sluice-user': 'u' }).user).toBe('u')
    for (const nobody of ['""', 'null']) {
      expect(plain(body(`,"user":${nobody}`), { 'sluice-user': 'h' }).user).toBe('h')
      expect(plain(body(`,"user":"u","safety_identifier":${nobody}`)).user).toBe('u')
    }
    expect(plain(body(',"user":"u","safety_identifier":"s"')).user).toBe('s')
    expect(plain(body('')).user).toBe(undefined)
  })
  it('nobody passes as nobody by a user that is none', () => {
    const body = (more: string): string => `{"model":"demo",${MESSAGES},${more}}`
    for (const odd of ['12345', 'true', '["u"]', '{"id":1}'])
      for (const name of ['user', 'safety_identifier'])
        expect(() => plain(body(`"${name}":${odd}`))).toThrow(`"${name}" must be a string of at most 512 characters`)
    expect(() => plain(body('"user":"u"'), { 'sluice-user': 'h' })).toThrow('name different users')
  })
  it('what its prompt weighs, with the conversation that it continues', () => {
    weighed.length = 0
    const draft = plain(`{"model":"demo",${MESSAGES},"sluice":{"conversation":"c"}}`)
    expect(draft.promptTokens).toBe(7)
    expect(weighed).toEqual([
      {
        tenant: 'acme',
        model: 'gpt-4o',
        conversation: 'c',
        prompt: { texts: ['hello'], media: [], frameTokens: 7, syntaxTokens: 0, unreadBytes: 0 },
      },
    ])
  })
  it('the most that its model may answer', () => {
    const most = (more: string): number | null => plain(`{"model":"demo",${MESSAGES}${more}}`).maxOutputTokens ?? null
    expect(most('')).toBe(null)
    expect(most(',"max_tokens":50')).toBe(50)
    expect(most(',"max_tokens":50,"n":3')).toBe(150)
    // Whichever of them its engine reads
    expect(most(',"max_tokens":100000,"max_completion_tokens":1')).toBe(100_000)
    expect(most(',"max_tokens":1,"num_predict":7,"max_new_tokens":9')).toBe(9)
    expect(most(',"max_tokens":1,"n_predict":-1')).toBe(null)
    expect(most(',"max_tokens":0')).toBe(null)
    expect(most(',"max_tokens":50,"n":0')).toBe(50)
    expect(most(',"max_tokens":9007199254740991,"n":128')).toBe(Number.MAX_SAFE_INTEGER)
    expect(most(',"max_tokens":null')).toBe(null)
    expect(most(',"max_tokens":"50"')).toBe(null)
  })
  it('how it is shown: what a job shows that nobody waits for can be taken back', () => {
    const raw = `{"model":"demo",${MESSAGES},"stream":true,"stream_options":{"include_usage":true}}`
    const shown = { dialect: 'chat', shownAs: { include_usage: true } }
    expect(plain(raw)).toMatchObject({ ...shown, takesBack: false })
    expect(plain(raw, {}, false)).toMatchObject({ ...shown, takesBack: true })
    expect(job(`{"request":${raw}}`)).toMatchObject({ ...shown, takesBack: true })
    expect(plain(BODY)).toMatchObject({ dialect: 'chat', takesBack: true })
    expect(plain(BODY)).not.toHaveProperty('shownAs')
    expect(job(`{"request":{"model":"demo","input":"x"},"endpoint":"/v1/embeddings"}`)).toMatchObject({
      dialect: 'embeddings',
      takesBack: true,
    })
  })
  it('labels of a job', () => {
    expect(job(`{"request":${BODY},"metadata":{"a":"b"}}`).metadata).toEqual({ a: 'b' })
  })
})

describe('whatever is sent', () => {
  const names = [
    'model',
    'messages',
    'stream',
    'stream_options',
    'max_tokens',
    'n',
    'temperature',
    'stop',
    'tools',
    'response_format',
    'logit_bias',
    'metadata',
    'user',
    'sluice',
    'role',
    'content',
    'tool_calls',
    'request',
    'endpoint',
    'priority',
    'lane',
    'idempotency_key',
    'input',
    '$ref',
    'function',
    'parameters',
  ]
  const leaf = fc.oneof(
    fc.constantFrom<unknown>('demo', 'user', '', 0, -1, 1e300, 0.5, true, null, '#', '#/tools', '\u0000'),
    fc.string({ maxLength: 8 }),
  )
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      leaf,
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 6 }),
    ),
  }))
  const request = fc
    .tuple(fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 8 }), fc.boolean())
    .map(([more, wellBegun]) =>
      wellBegun ? { model: 'demo', messages: [{ role: 'user', content: 'x' }], ...more } : more,
    )
  const headers = fc.dictionary(
    fc.constantFrom(
      'sluice-lane',
      'sluice-priority',
      'sluice-user',
      'sluice-delay-ms',
      'idempotency-key',
      'x-stainless-retry-count',
      'sluice-x',
    ),
    fc.string({ maxLength: 6 }),
    { maxKeys: 3 },
  )

  it('is a draft, or an error of the table; never a surprise', () => {
    let drafts = 0
    fc.assert(
      fc.property(
        request,
        headers,
        fc.constantFrom('chat' as const, 'embedding' as const),
        fc.boolean(),
        (body, said, kind, asJob) => {
          try {
            const parsed = parseBody(Buffer.from(JSON.stringify(asJob ? { request: body, ...body } : body)), LIMITS)
            const made = asJob
              ? madeJob(parsed, said)
              : dialectDraft(deps, caller, said, parsed, spoken(kind), true, ORIGIN).job
            expect(JSON.parse(text(made))).toMatchObject({ model: 'demo' })
            expect(JSON.parse(text(made))).not.toHaveProperty('sluice')
            drafts++
          } catch (thrown) {
            if (!(thrown instanceof SluiceError)) throw thrown
            expect(thrown.code).not.toBe('internal')
            expect(thrown.status).toBeLessThan(500)
          }
        },
      ),
      { numRuns: depth(5_000, 500) },
    )
    expect(drafts).toBeGreaterThan(depth(50, 3))
  })

  it('also as bytes that were cut, doubled or garbled', () => {
    const good = Buffer.from(
      `{"model":"demo",${MESSAGES},"sluice":{"lane":"a"},"tools":[{"function":{"parameters":{"$ref":"#"}}}]}`,
    )
    fc.assert(
      fc.property(fc.nat(good.length), fc.nat(good.length), fc.uint8Array({ maxLength: 4 }), (from, to, bytes) => {
        try {
          const raw = Buffer.concat([good.subarray(0, from), bytes, good.subarray(to)])
          dialectDraft(deps, caller, {}, parseBody(raw, LIMITS), spoken('chat'), true, ORIGIN)
        } catch (thrown) {
          if (!(thrown instanceof SluiceError)) throw thrown
          expect(thrown.status).toBeLessThan(500)
        }
      }),
      { numRuns: depth(10_000, 1_000) },
    )
  })
})

describe('for limits', () => {
  const withMessages = (messages: unknown, more: object = {}) =>
    plain(JSON.stringify({ model: 'demo', messages, ...more }))
  const user = { role: 'user', content: 'hello' }
  const system = { role: 'system', content: 'Be brief.' }

  it('the price of a token, by the size of the prompt, what is paid for the request among it', () => {
    const { price } = plain(BODY)
    expect(price!.output).toBe(600)
    expect(Math.ceil(price!.input * 7)).toBe(5 + 7 * 150)
  })

  it('kinds of requests are told apart by their instructions, tools and form, and by nothing else', () => {
    const kinds = [
      withMessages([user]),
      withMessages([system, user]),
      withMessages([{ ...system, content: 'Be long.' }, user]),
      withMessages([user], { tools: [{ type: 'function', function: { name: 'f' } }] }),
      withMessages([user], { response_format: { type: 'json_object' } }),
      withMessages([system, user], { response_format: { type: 'json_object' } }),
    ].map(({ route }) => route)
    expect(new Set(kinds).size).toBe(kinds.length)
    expect(kinds[0]).toBeUndefined()
    expect(kinds[1]).toMatch(/^[\w-]{10}$/)
    for (const same of [
      withMessages([system, { ...user, content: 'something else' }, user]),
      withMessages([{ ...system, content: [{ type: 'text', text: 'Be brief.' }] }, user]),
      withMessages([{ ...system, role: 'developer' }, user], {
        tools: [],
        max_tokens: 5,
        response_format: { type: 'text' },
      }),
    ])
      expect(same.route).toBe(kinds[1])
    expect(withMessages([user, system]).route).toBeUndefined()
  })

  it('of instructions a bounded part is looked at', () => {
    const long = (text: string) => withMessages([{ ...system, content: 'x'.repeat(2_048) + text }, user]).route
    expect(long('a')).toBe(long('b'))
    const many = (text: string) =>
      withMessages([...Array.from({ length: 8 }, () => system), { ...system, content: text }])
    expect(many('a').route).toBe(many('b').route)
    for (const odd of [
      null,
      5,
      [],
      [null],
      [{ role: 'system' }],
      [{ role: 'system', content: [null, 5, { text: 6 }] }],
    ])
      expect(() => withMessages(odd)).not.toThrow(TypeError)
  })

  it('a run is named by an option, wherever it stands', () => {
    const runs = [
      plain(BODY.replace('{', '{"sluice":{"run":"r-1"},')),
      plain(BODY, { 'sluice-run': 'r-1' }),
      job(`{"request":${BODY},"run":"r-1"}`),
    ]
    expect(runs.map(({ run }) => run)).toEqual(['r-1', 'r-1', 'r-1'])
    expect(plain(BODY).run).toBeUndefined()
    for (const wrong of ['', 'x'.repeat(129), 'a\nb', 5])
      expect(() => job(JSON.stringify({ request: JSON.parse(BODY), run: wrong }))).toThrow(
        '"run" must be a string of 1 to 128 characters',
      )
    const key = { 'idempotency-key': 'k' }
    expect(plain(BODY, { ...key, 'sluice-run': 'a' }).bodyHash).not.toBe(plain(BODY, key).bodyHash)
  })

  it("a page's run is its user's, or its session's, and nobody else's", () => {
    const runOf = (session: object | null): string | undefined =>
      dialectDraft(
        deps,
        { ...caller, session } as Caller,
        { 'sluice-run': 'r' },
        parseBody(Buffer.from(BODY), LIMITS),
        spoken('chat'),
        true,
        ORIGIN,
      ).job.run
    expect(runOf(null)).toBe('r')
    expect(runOf({ id: 'ses_1', user: 'ann/x' })).toBe('ann%2Fx/r')
    expect(runOf({ id: 'ses_1', user: null })).toBe('ses_1/r')
  })
})

it('a job of a call knows its request and when that came: members of a call are getters', () => {
  const call = new (class {
    get requestId() {
      return 'req_9'
    }
    get startedMono() {
      return 42
    }
    get uploadMs() {
      return 7
    }
    get trace() {
      return null
    }
  })()
  const body = parseBody(Buffer.from(`{"request":${BODY}}`), LIMITS)
  const made = jobDraft(deps, caller, body.value, memberBytes(body, 'request'), {}, call)
  expect([made.startedMono, made.uploadMs, made.job.requestId]).toEqual([42, 7, 'req_9'])
})
