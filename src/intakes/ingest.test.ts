/** What becomes of a job that the coordinator refuses when it is taken from the broker, here or in another process. */
import { expect, it } from 'vitest'
import type { Clock } from '../core/clock.ts'
import { type ErrorCode, SluiceError } from '../core/errors.ts'
import type { Job, JobDraft } from '../core/job.ts'
import type { Delivery, Entered, Intake, Verdict } from '../core/ports/intake.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { Submissions, Submitted } from '../core/ports/submissions.ts'
import { Envelopes } from './envelope.ts'
import { createFigures } from './figures.ts'
import { Ingest } from './ingest.ts'
import { Issued } from './issued.ts'
import { arriving } from './jobs.ts'
import { Published } from './published.ts'
import { publishing } from './submissions.ts'

const clock = {
  monoMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(ms: number, then: () => void) {
    const timer = setTimeout(then, Math.min(ms, 1 << 30))
    return () => clearTimeout(timer)
  },
  every(ms: number, then: () => void) {
    const timer = setInterval(then, ms)
    return () => clearInterval(timer)
  },
} as Clock

const draft = (options: object = {}): JobDraft =>
  ({
    tenant: 'acme',
    keyId: 'key',
    model: 'chat',
    body: Buffer.from('{}'),
    options: { pool: 'text', policy: 'wait', ...options },
  }) as unknown as JobDraft

const NOWHERE = { position: 0, tokensAhead: 0 }

/** Processes on one store and one broker. `refuses`: what its coordinator refuses a submit for. */
function setUp() {
  const stored = new Map<string, Job>()
  const queue: Delivery[] = []
  const canceled: string[] = []
  const world = { refuses: null as ErrorCode | null, submits: 0, fails: false, isSilent: false }
  let ids = 0
  const keep = (job: Job): Submitted => {
    stored.set(job.id, job)
    return { kind: 'accepted', job, place: NOWHERE }
  }
  const inner = {
    async submit([one]: readonly JobDraft[], [id] = ['direct']): Promise<readonly Submitted[]> {
      world.submits++
      if (world.fails) throw new SluiceError('storage_failed')
      const known = stored.get(id)
      if (known !== undefined) return [{ kind: 'accepted', job: known, place: NOWHERE }]
      if (world.refuses !== null) return [{ kind: 'refused', error: new SluiceError(world.refuses) }]
      return [keep({ ...one, id, state: 'queued' } as unknown as Job)]
    },
    async refuse({ options, ...one }: JobDraft, id: string, error: SluiceError): Promise<Submitted> {
      const { idempotencyKey: _, ...rest } = options
      return keep({ ...one, options: rest, id, state: 'failed', error: error.wire } as unknown as Job)
    },
    reserve: async (n: number) => Array.from({ length: n }, () => `job_${++ids}`),
  } as unknown as Submissions
  const jobs = {
    get: async (id: string) => stored.get(id) ?? null,
    places: async () => new Map(),
    byKey: async () => null,
    erase: async (id: string) => stored.delete(id),
    cancel: async (id: string) => void canceled.push(id),
  } as unknown as Jobs
  const intake = {
    name: 'rabbitmq',
    async publish({ pool, id, payload }) {
      queue.push({ pool, id, payload })
      if (world.isSilent) throw new SluiceError('intake_unavailable')
    },
  } as Intake
  const envelopes = new Envelopes(Buffer.from('secret'))
  // Its ids are short
  const issued = Object.assign(new Issued({ envelopes, wallMs: () => clock.wallMs(), keptMs: () => Infinity }), {
    sign: (id: string) => id,
  })
  const dead: string[] = []
  const process = (admit: (delivery: Delivery) => Entered = () => Promise.reject() as never) => {
    const published = new Published({ jobs, clock, isOneOfMany: true })
    const figures = createFigures(() => [])
    const shared = {
      intakeOf: (pool: string) => (pool === 'direct' ? null : intake),
      envelopes,
      issued,
      published,
      figures,
      clock,
    }
    const onDead = (_: string, __: Delivery, { code }: SluiceError): void => void dead.push(code)
    const ingest = new Ingest({
      ...shared,
      submissions: inner,
      jobs,
      admit,
      tenant: 'acme',
      jitter: () => 0,
      onDead,
      window: () => 16,
    })
    const take = ingest.from(intake)
    return {
      submissions: publishing({ ...shared, inner, jobs }),
      jobs: arriving({ ...shared, inner: jobs, submissions: inner, isOneOfMany: false }),
      published,
      take: (delivery: Delivery): Promise<Verdict> => take(delivery),
    }
  }
  return { world, queue, dead, canceled, process }
}

it('what was told as accepted, and is refused in another process, has failed with that everywhere', async () => {
  const { world, queue, dead, process } = setUp()
  const [here, there] = [process(), process()]
  const [told] = (await here.submissions.submit([draft()])) as Extract<Submitted, { kind: 'accepted' }>[]
  const owned = told.owned!(new AbortController().signal)
  world.refuses = 'deadline_unreachable'
  expect(await there.take(queue[0])).toEqual({ kind: 'owned' })
  for (const { jobs } of [here, there])
    expect(await jobs.get(told.job.id)).toMatchObject({ state: 'failed', error: { code: 'deadline_unreachable' } })
  expect(await owned).toMatchObject({ kind: 'accepted', job: { state: 'failed' } })
  expect(dead).toEqual([])
  // As any other that has ended, also where nobody waits for it
  await here.submissions.submit([draft()])
  await there.take(queue[1])
  expect(await here.jobs.erase('job_2')).toBe(true)
  expect(await here.jobs.erase('job_2')).toBe(false)
  expect(await here.jobs.erase(told.job.id)).toBe(true)
  expect(await here.jobs.erase(told.job.id)).toBe(false)
})

it('what is refused where it was told, and is waited for, is stored and told; then it can be erased', async () => {
  const { world, queue, process } = setUp()
  const here = process()
  const [told] = (await here.submissions.submit([draft()])) as Extract<Submitted, { kind: 'accepted' }>[]
  const owned = told.owned!(new AbortController().signal)
  world.refuses = 'insufficient_quota'
  expect(await here.take(queue[0])).toEqual({ kind: 'owned' })
  expect(await owned).toMatchObject({ job: { id: told.job.id, error: { code: 'insufficient_quota' } } })
  expect(await here.jobs.erase(told.job.id)).toBe(true)
})

it('who waits for a job with an idempotency key is told what another process refused it for', async () => {
  const { world, queue, process } = setUp()
  const [here, there] = [process(), process()]
  const answer = here.submissions.submit([draft({ idempotencyKey: 'k', policy: 'reject' })])
  await expect.poll(() => queue.length).toBe(1)
  world.refuses = 'rate_limit_exceeded'
  expect(await there.take(queue[0])).toEqual({ kind: 'owned' })
  expect(await answer).toMatchObject([{ kind: 'refused', error: { code: 'rate_limit_exceeded' } }])
})

it('what nobody knows whether the broker has it is not run where it comes; with a key it is that job', async () => {
  const { world, queue, canceled, process } = setUp()
  const { submissions, jobs, take } = process()
  world.isSilent = true
  for (const options of [{}, { idempotencyKey: 'k' }])
    expect(await submissions.submit([draft(options)])).toMatchObject([{ error: { code: 'intake_unavailable' } }])
  expect(await Promise.all(queue.map(take))).toEqual([{ kind: 'owned' }, { kind: 'owned' }])
  expect(await jobs.get('job_1')).toMatchObject({ error: new SluiceError('job_canceled').wire })
  expect((await jobs.get('job_2'))?.error).toBe(undefined)
  expect(canceled).toEqual(['job_1'])
})

it('a lane is published as it was asked for, where a job with a key comes before one without', async () => {
  const { queue, process } = setUp()
  const { submissions, take } = process()
  const lane = { lane: 'l' }
  const both = submissions.submit([draft({ ...lane, idempotencyKey: 'k' }), draft(lane), draft({ lane: 'other' })])
  const after = submissions.submit([draft(lane)])
  await expect.poll(() => queue.length).toBe(4)
  expect(queue.map(({ id }) => id).filter((id) => id !== 'job_3')).toEqual(['job_1', 'job_2', 'job_4'])
  await Promise.all(queue.map(take))
  expect((await Promise.all([both, after])).flat().map(({ kind }) => kind)).toEqual(Array(4).fill('accepted'))
})

it('jobs of a list that go past the broker are refused alone', async () => {
  const { queue, process, world } = setUp()
  const { submissions } = process()
  world.fails = true
  const direct = draft({ pool: 'direct' })
  expect(await submissions.submit([direct, draft(), direct])).toMatchObject([
    { kind: 'refused', error: { code: 'storage_failed' } },
    { kind: 'accepted' },
    { kind: 'refused', error: { code: 'storage_failed' } },
  ])
  expect(queue).toHaveLength(1)
})

it('what others publish waits, in order, while its model is disabled or a limit refuses it', async () => {
  const { world, queue, dead, process } = setUp()
  let why: ErrorCode | null = 'model_disabled'
  const owned: string[] = []
  const there = process(({ id }) => {
    if (why !== null && id === 'first') throw new SluiceError(why)
    return { draft: draft({ lane: 'l', idempotencyKey: id! }), told: () => void owned.push(id!) }
  })
  const verdicts = ['first', 'second'].map((id) =>
    there.take({ pool: 'text', id, payload: Buffer.from('{"lane":"l"}') }),
  )
  await new Promise((go) => setTimeout(go, 150))
  expect([owned, dead]).toEqual([[], []])
  world.refuses = 'rate_limit_exceeded'
  why = null
  await expect.poll(() => world.submits).toBeGreaterThan(1)
  world.refuses = null
  expect(await Promise.all(verdicts)).toEqual([{ kind: 'owned' }, { kind: 'owned' }])
  expect([owned, dead, queue]).toEqual([['first', 'second'], [], []])
  why = 'model_not_found'
  expect(await there.take({ pool: 'text', id: 'first', payload: Buffer.from('{}') })).toMatchObject({
    code: 'model_not_found',
  })
  why = 'internal'
  expect(await there.take({ pool: 'text', id: 'first', payload: Buffer.from('{}') })).toMatchObject({
    code: 'internal',
  })
})

it.each(['a lane', 'jobs without one'])(
  '%s of a tenant that is disabled keeps nobody else out of the window',
  async (kind) => {
    const { dead, process, world } = setUp()
    let disabled: ErrorCode | null = 'access_disabled'
    const owned: string[] = []
    const there = process(({ payload }) => {
      const message: unknown = JSON.parse(Buffer.from(payload).toString())
      const { id, tenant, lane } = message as { id: string; tenant: string; lane?: string }
      if (disabled !== null && tenant === 'off') throw new SluiceError(disabled)
      const own = { ...(lane && { lane }), idempotencyKey: id }
      return { draft: { ...draft(own), tenant }, told: () => void owned.push(tenant) }
    })
    const lane = kind === 'a lane' ? { lane: 'l' } : {}
    // The broker's window: what has no verdict, at most 16
    let held = 0
    let fullest = 0
    const send = async (tenant: string, id: string): Promise<Verdict> => {
      while (held >= 16) await new Promise((go) => setTimeout(go, 5))
      fullest = Math.max(fullest, ++held)
      return there
        .take({ pool: 'text', id: null, payload: Buffer.from(JSON.stringify({ id, tenant, ...lane })) })
        .finally(() => held--)
    }
    const theirs = Array.from({ length: 40 }, (_, i) => send('off', `off${i}`))
    expect(await send('on', 'on')).toEqual({ kind: 'owned' })
    // As far as they may wait they do, in order; the others are dead letters, with why
    await expect.poll(() => dead).toEqual(Array(36).fill('access_disabled'))
    disabled = null
    expect((await Promise.all(theirs)).filter(({ kind: how }) => how === 'owned')).toHaveLength(4)
    expect(owned).toHaveLength(5)
    expect(fullest).toBe(16)
    // Then all is as before
    disabled = 'model_disabled'
    const again = send('off', 'again')
    await new Promise((go) => setTimeout(go, 100))
    expect(dead).toHaveLength(36)
    disabled = null
    expect(await again).toEqual({ kind: 'owned' })
    expect(world.submits).toBe(6)
  },
)

it('a message that comes again once its job is no longer kept makes none anew; another body does', async () => {
  const { world, process } = setUp()
  let body = 'one'
  const there = process(({ id }) => ({
    draft: { ...draft({ idempotencyKey: id! }), bodyHash: body },
    told: () => {},
  }))
  const message = { pool: 'text', id: 'm', payload: Buffer.from('{}') }
  expect(await there.take(message)).toEqual({ kind: 'owned' })
  expect(await there.take(message)).toEqual({ kind: 'owned' })
  expect(world.submits).toBe(1)
  body = 'two'
  await there.take(message)
  expect(world.submits).toBe(2)
})
