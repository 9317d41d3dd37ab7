/** The door itself: who is checked when, whose job may be joined, and what is told of each submit. */
import { describe, expect, it } from 'vitest'
import { manualClock } from '../../../test/manual-clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Happened } from '../../core/facts.ts'
import type { Job, JobDraft, Place } from '../../core/job.ts'
import { type LevelLimits, type LimitSettings, NO_LIMITS, type TokenPrice } from '../../core/limits.ts'
import type { Decision } from '../../core/ports/admission.ts'
import type { Jobs } from '../../core/ports/jobs.ts'
import type { Keys } from '../../core/ports/keys.ts'
import type { Prices, Tokens, Unpriced } from '../../core/ports/prices.ts'
import type { Submitted } from '../../core/ports/submissions.ts'
import type { Tenants } from '../../core/ports/tenants.ts'
import type { Auth } from '../caller/auth.ts'
import type { Caller } from '../caller/caller.ts'
import type { Models } from '../deps.ts'
import type { Draft } from './draft.ts'
import { createSubmits, type Submits } from './submit.ts'

const PLACE = { position: 1 } as Place
const caller = (user: string): Caller => ({ key: { id: 'key_1', tenant: 'acme' }, session: { user } }) as Caller
const ann = caller('ann')
const DRAFT = {
  tenant: 'acme',
  keyId: 'key_1',
  model: 'm',
  kind: 'chat',
  promptTokens: 1,
  user: 'ann',
  options: {},
} as JobDraft
const WEIGHT = { tokens: 1, own: 1, exact: true, family: 'm', isPlain: true }
const draft: Draft = {
  job: DRAFT,
  parentSpan: undefined,
  startedMono: 0,
  uploadMs: 0,
  weight: WEIGHT,
  value: {},
  userIn: null,
  stream: null,
}
const jobOf = (user: string): Job => ({ ...DRAFT, id: 'job_1', state: 'failed', user }) as unknown as Job

const ACCEPTED: Submitted = { kind: 'accepted', job: jobOf('ann'), place: PLACE }
/** What it was refused for is returned there. */
function orThrown<T>(result: T | SluiceError): T {
  if (result instanceof SluiceError) throw result
  return result
}
const DOORS: ReadonlyArray<readonly [string, (submits: Submits) => Promise<unknown>]> = [
  ['one', (submits) => submits.one(ann, draft)],
  ['a plain POST', (submits) => submits.begin(ann, draft).then(orThrown)],
  ['again', (submits) => submits.again(ann, 'job_1')],
]

interface Setting {
  readonly revoked?: string
  readonly blocked?: boolean
  readonly edit?: Decision['edit']
  readonly limits?: LimitSettings
  readonly price?: ReturnType<Prices['dearest']>
  /** Of the job that is redriven. */
  readonly oldPrice?: TokenPrice
}

const UNPRICED: Unpriced = { reason: 'no price list has the model "m"' }

/** `revoked`: from when on the caller's key is good no more. */
function setUp(
  result = ACCEPTED,
  { revoked = '', blocked = false, edit = null, limits = NO_LIMITS, price = UNPRICED, oldPrice }: Setting = {},
) {
  const facts: Happened[] = []
  const stored: string[] = []
  const weighed: string[] = []
  let isRevoked = revoked === 'before'
  const submitted: JobDraft[] = []
  const redrivenAt: unknown[] = []
  const keep = (drafts: number): Submitted[] =>
    Array.from({ length: drafts }, () => {
      stored.push('job')
      return result
    })
  const submits = createSubmits(
    {
      clock: manualClock(),
      keys: { get: () => null } as Partial<Keys> as Keys,
      tenants: { get: () => null, modelOff: () => null } as Partial<Tenants> as Tenants,
      admission: {
        check: () => ({ error: blocked ? new SluiceError('content_blocked') : null, edit, rulings: [] }),
      },
      models: { resolve: () => null } as Partial<Models> as Models,
      sharing: () => null,
      limits: () => limits,
      ownKeys: {
        providers: () => new Map(),
        sealed: () => {
          throw new Error()
        },
        refusal: () => null,
        covers: () => false,
        reseal: () => {
          throw new Error('none')
        },
      },
      prices: { of: () => null, dearest: () => price, at: () => null },
      weights: { weigh: () => WEIGHT, accepted: (job) => void weighed.push(job) },
      submissions: {
        reserve: () => Promise.reject(new Error('not asked')),
        refuse: () => Promise.reject(new Error('not asked')),
        async submit(drafts) {
          submitted.push(...drafts)
          return keep(drafts.length)
        },
        begin: async () => ({ result: keep(1)[0], power: async () => {} }),
        async redrive(_id, _by, terms) {
          redrivenAt.push(terms?.price)
          return keep(1)[0]
        },
      },
      jobs: {
        get: async () => ({ ...jobOf('ann'), ...(oldPrice && { price: oldPrice }) }),
        async request() {
          isRevoked ||= revoked === 'while it is read'
          return Buffer.from('{}')
        },
      } as Partial<Jobs> as Jobs,
      emit: (fact) => void facts.push(fact),
      onFault: (error) => expect.fail(String(error)),
    },
    {
      check() {
        if (isRevoked) throw new SluiceError('invalid_api_key')
      },
    } as Partial<Auth> as Auth,
    { admit: async () => ({}), check: async () => {}, entered: () => {} },
  )
  return { submits, stored, submitted, redrivenAt, facts, weighed }
}

it.each(DOORS)('%s: tells of what is taken', async (_door, submit) => {
  const { submits, facts } = setUp()
  await submit(submits)
  expect(facts).toMatchObject([{ type: 'job-submitted', job: 'job_1', tenant: 'acme', model: 'm', joined: false }])
})

it.each(DOORS)('%s: what is accepted is remembered with its weight, if it was weighed', async (door, submit) => {
  const { submits, weighed } = setUp()
  await submit(submits)
  expect(weighed).toEqual(door === 'again' ? [] : ['job_1'])
})

it.each(DOORS)('%s: what is joined was weighed before', async (_door, submit) => {
  const { submits, weighed } = setUp({ kind: 'joined', job: jobOf('ann'), place: PLACE })
  await submit(submits)
  expect(weighed).toEqual([])
})

it.each(DOORS)('%s: what a guard refuses is stored nowhere, and told', async (_door, submit) => {
  const { submits, stored, facts } = setUp(ACCEPTED, { blocked: true })
  await expect(submit(submits)).rejects.toMatchObject({ code: 'content_blocked' })
  expect(stored).toEqual([])
  expect(facts).toMatchObject([{ type: 'job-refused', tenant: 'acme', model: 'm', code: 'content_blocked' }])
})

it.each(DOORS)('%s: a job of another user is never joined, nor shown', async (_door, submit) => {
  const { submits, facts } = setUp({ kind: 'joined', job: jobOf('bob'), place: PLACE })
  await expect(submit(submits)).rejects.toMatchObject({ code: 'idempotency_conflict' })
  expect(facts).toMatchObject([{ type: 'job-refused', code: 'idempotency_conflict' }])
  expect(facts[0]).not.toHaveProperty('job')
})

it.each(DOORS)('%s: a key that was revoked since the headers came submits nothing', async (_door, submit) => {
  const { submits, stored } = setUp(ACCEPTED, { revoked: 'before' })
  await expect(submit(submits)).rejects.toMatchObject({ code: 'invalid_api_key' })
  expect(stored).toEqual([])
})

it('nor does one that was revoked while the request was read again', async () => {
  const { submits, stored } = setUp(ACCEPTED, { revoked: 'while it is read' })
  await expect(submits.again(ann, 'job_1')).rejects.toMatchObject({ code: 'invalid_api_key' })
  expect(stored).toEqual([])
})

it('each result of a list is in the place of its draft', async () => {
  const { submits, stored } = setUp()
  const bad = new SluiceError('invalid_request')
  const results = await submits.all(ann, [bad, draft, bad, draft])
  expect(results.map((result) => result.kind)).toEqual(['refused', 'accepted', 'refused', 'accepted'])
  expect(stored).toHaveLength(2)
})

describe('what limits go by', () => {
  it('is the request as the guards let it pass', async () => {
    const body = Buffer.from('{"model":"m","max_tokens":200,"n":2,"user":"bob"}')
    const { submits, submitted } = setUp(ACCEPTED, { edit: () => body })
    await submits.one(ann, { ...draft, job: { ...DRAFT, maxOutputTokens: 9_000 } })
    await submits.one(ann, { ...draft, userIn: ({ user }) => user as string })
    expect(submitted).toMatchObject([
      { body, maxOutputTokens: 400, user: 'ann' },
      { body, maxOutputTokens: 400, user: 'bob' },
    ])
  })

  const budget: LevelLimits = {
    rates: [],
    budgets: [{ window: 'day', nanoDollars: 1, whenOut: 'cut' }],
    concurrent: null,
  }
  const tenant = { all: null, eachUser: null, eachRun: null, eachKey: null, models: {} }
  const BUDGETS: Readonly<Record<string, LimitSettings>> = {
    global: { ...NO_LIMITS, global: budget },
    model: { ...NO_LIMITS, models: { m: budget } },
    tenant: { ...NO_LIMITS, tenants: { acme: { ...tenant, all: budget } } },
    eachTenant: { ...NO_LIMITS, eachTenant: { ...tenant, all: budget } },
    user: { ...NO_LIMITS, eachTenant: { ...tenant, eachUser: budget } },
    eachKey: { ...NO_LIMITS, eachTenant: { ...tenant, eachKey: budget } },
    key: { ...NO_LIMITS, keys: { key_1: budget } },
    tenantModel: { ...NO_LIMITS, eachTenant: { ...tenant, models: { m: budget } } },
  }
  const OTHERS: Readonly<Record<string, LimitSettings>> = {
    none: NO_LIMITS,
    'rates alone': { ...NO_LIMITS, global: { ...budget, budgets: [], concurrent: 1 } },
    "another model's": { ...NO_LIMITS, models: { other: budget } },
    "another tenant's": { ...NO_LIMITS, tenants: { other: { ...tenant, all: budget } } },
    "its tenant has none of each tenant's": {
      ...NO_LIMITS,
      tenants: { acme: tenant },
      eachTenant: { ...tenant, all: budget },
    },
    "another key's": { ...NO_LIMITS, keys: { key_2: budget } },
    'a run, and it is of none': { ...NO_LIMITS, eachTenant: { ...tenant, eachRun: budget } },
  }

  it.each(DOORS)('a model that nobody knows the price of is refused where a budget holds: %s', async (_, door) => {
    for (const [name, limits] of Object.entries(BUDGETS)) {
      const { submits, stored, facts } = setUp(ACCEPTED, { limits })
      await expect(door(submits), name).rejects.toMatchObject({
        code: 'model_unpriced',
        message: expect.not.stringContaining('no price list'),
      })
      expect(stored).toEqual([])
      // What to do about it is for the operator alone
      expect(facts).toMatchObject([
        { type: 'job-refused', code: 'model_unpriced' },
        {
          type: 'price-missing',
          model: 'm',
          detail: expect.stringMatching(/no price list has the model "m".*unpriced/),
        },
      ])
    }
    for (const [name, limits] of Object.entries(OTHERS)) {
      const { submits, stored } = setUp(ACCEPTED, { limits })
      await door(submits)
      expect(stored, name).toEqual(['job'])
    }
  })

  it('one with a price is not, nor is one that a guard blocks told of prices', async () => {
    const priced = { ...draft, job: { ...DRAFT, price: { input: 1, output: 1 } } }
    const { submits, stored } = setUp(ACCEPTED, { limits: BUDGETS['tenant'] })
    await submits.one(ann, priced)
    expect(stored).toEqual(['job'])
    const blocked = setUp(ACCEPTED, { limits: BUDGETS['tenant'], blocked: true })
    await expect(blocked.submits.one(ann, draft)).rejects.toMatchObject({ code: 'content_blocked' })
  })

  it('a redriven job is held at the price of the day, and refused where there is none any more', async () => {
    const limits = BUDGETS['tenant']
    const price = { version: '1', cost: ({ input, output }: Tokens) => 3 * input + 5 * output }
    const { submits, redrivenAt } = setUp(ACCEPTED, { limits, price })
    await submits.again(ann, 'job_1')
    expect(redrivenAt).toEqual([{ input: 3, output: 5 }])
    const gone = setUp(ACCEPTED, { limits, oldPrice: { input: 1, output: 1 } })
    await expect(gone.submits.again(ann, 'job_1')).rejects.toMatchObject({ code: 'model_unpriced' })
    expect(gone.redrivenAt).toEqual([])
  })

  it('a run with a budget refuses what belongs to it alone', async () => {
    const { submits, stored } = setUp(ACCEPTED, { limits: OTHERS['a run, and it is of none'] })
    const inRun = { ...draft, job: { ...DRAFT, run: 'r' } }
    await expect(submits.one(ann, inRun)).rejects.toMatchObject({ code: 'model_unpriced' })
    expect(stored).toEqual([])
  })
})
