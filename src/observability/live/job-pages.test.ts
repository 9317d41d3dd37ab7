import { describe, expect, it } from 'vitest'
import type { Fact } from '../../core/facts.ts'
import type { Job } from '../../core/job.ts'
import type { JobFilter, JobRow, Role } from '../../core/live.ts'
import { Traces } from '../traces/traces.ts'
import { createJobPages, type ToldJobs } from './job-pages.ts'

const QUOTED = 'the prompt, quoted by its provider'
const FAILED = {
  ...{
    id: 'job_old',
    kind: 'chat',
    state: 'failed',
    tenant: 't',
    keyId: 'k',
    model: 'm',
    acceptedAtMs: 1,
    attempts: 1,
  },
  ...{ epoch: 1, options: { pool: 'text', priority: 'normal' } },
  error: {
    message: QUOTED,
    type: 'provider_error',
    param: QUOTED,
    code: 'bad_prompt',
    sluice_code: 'provider_rejected',
  },
} as unknown as Job

function setUp({ showsText = false } = {}) {
  const traces = new Traces(() => ({ ttftMs: 1_500 }))
  traces.looked(0)
  const pages = createJobPages({
    clock: { wallMs: () => 1_000 },
    traces,
    jobs: { get: async () => FAILED, list: async () => [FAILED], places: async () => new Map() },
    words: async () => null,
    asked: ({ id }) => ({ endpoint: '/v1/responses', id: `resp_${id.slice(4)}` }),
    showsText: () => showsText,
  })
  let atMs = 1
  const fact = (more: object): void => traces.observe({ atMs: atMs++, ...more } as Fact)
  const of = (job: string) => ({ job, tenant: 't', keyId: 'k', model: 'm' })
  return {
    pages,
    submit: (job: string) =>
      fact({ type: 'job-submitted', kind: 'chat', joined: false, ...of(job), requestId: null, trace: null }),
    lease(job: string) {
      fact({ type: 'job-leased', ...of(job), attempt: 1, deployment: 'd', queuedMs: 0, sinceAcceptedMs: 0 })
    },
    progress: (job: string, tokens: number) =>
      fact({ type: 'attempt-progressed', ...of(job), attempt: 1, deployment: 'd', tokens }),
    end: (job: string) => fact({ type: 'job-ended', ...of(job), state: 'done', code: null, attempts: 1 }),
    /** A page that watches, and what it shows. */
    watch(filter: JobFilter = {}, role: Role = 'operator') {
      let told: ToldJobs | null = null
      const shown = new Map<string, JobRow>()
      return {
        shown,
        async beat(): Promise<number> {
          const { rows, note } = await pages.rows(filter, told, role)
          told = note()
          for (const row of rows) shown.set(row.job, row)
          return rows.length
        },
      }
    },
  }
}

describe('a list of jobs', () => {
  it('is told the end of each job, however many others change meanwhile', async () => {
    const { submit, lease, progress, end, watch } = setUp()
    const ids = Array.from({ length: 60 }, (_, i) => `job_${String(i).padStart(2, '0')}`)
    for (const id of ids) submit(id)
    for (const id of ids) lease(id)
    const page = watch()
    await page.beat()
    for (const id of ids.slice(20, 30)) end(id)
    for (let second = 1; second <= 3; second++) {
      for (const id of ids.slice(30)) progress(id, second)
      await page.beat()
    }
    expect(ids.slice(20, 30).map((id) => page.shown.get(id)?.state)).toEqual(Array(10).fill('done'))
    // Each of the others has its turn
    expect(ids.slice(30).every((id) => (page.shown.get(id)?.tokens ?? 0) > 0)).toBe(true)
  })

  it('is told what becomes of a row that its filter would leave out now', async () => {
    const { submit, lease, end, watch } = setUp()
    submit('job_1')
    lease('job_1')
    const page = watch({ state: 'leased' })
    await page.beat()
    end('job_1')
    submit('job_2')
    await page.beat()
    expect(page.shown.get('job_1')?.state).toBe('done')
    expect(page.shown.has('job_2')).toBe(false)
    expect(await page.beat()).toBe(0)
  })
})

describe('an error', () => {
  it.each<[Role, boolean, boolean]>([
    ['viewer', true, false],
    ['operator', true, true],
    ['operator', false, false],
    ['admin', false, false],
  ])('is shown to a %s (texts are shown: %s) in its own words: %s', async (role, showsText, isShown) => {
    const { pages, watch } = setUp({ showsText })
    const page = watch({}, role)
    await page.beat()
    const told = JSON.stringify([page.shown.get('job_old'), await pages.trace('job_old', role)])
    expect(told.includes(QUOTED)).toBe(isShown)
    expect(told).toContain('provider_rejected')
  })
})

it('tells of a job where it was asked for, and the id that its client has', async () => {
  const { pages, submit } = setUp()
  const asked = [
    { name: 'Endpoint', value: '/v1/responses' },
    { name: 'Known as', value: 'resp_old' },
  ]
  expect((await pages.trace('job_old', 'operator')).facts).toEqual(expect.arrayContaining(asked))
  submit('job_old') // one that runs
  expect((await pages.trace('job_old', 'operator')).facts).toEqual(expect.arrayContaining(asked))
})
