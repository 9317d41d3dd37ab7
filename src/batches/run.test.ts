/** What becomes of a batch's lines: on files and jobs in memory, by the real clock, the batch's own time by hand. */
import { describe, expect, it } from 'vitest'
import { linesIn } from '../../test/batches/lines.ts'
import { type Batch, batchDocument, batchOf, become } from '../core/batch.ts'
import { systemClock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Job } from '../core/job.ts'
import type { Files, StoredFile } from '../core/ports/files.ts'
import type { ResultLine } from './results.ts'
import { Run, type RunDeps } from './run.ts'

class MemoryFiles {
  readonly all = new Map<string, { file: StoredFile; bytes: Buffer }>()
  async create(file: object): Promise<StoredFile> {
    const id = `file-${this.all.size + 1}`
    this.all.set(id, { file: { ...file, id, bytes: 0, sealed: false } as StoredFile, bytes: Buffer.alloc(0) })
    return this.all.get(id)!.file
  }
  async append(id: string, at: number, chunk: Uint8Array): Promise<StoredFile | null> {
    const one = this.all.get(id)
    if (one === undefined || one.bytes.length !== at || one.file.sealed) return null
    one.bytes = Buffer.concat([one.bytes, chunk])
    one.file = { ...one.file, bytes: one.bytes.length }
    return one.file
  }
  async seal(id: string, facts: object = {}): Promise<StoredFile | null> {
    const one = this.all.get(id)
    if (one !== undefined && !one.file.sealed) one.file = { ...one.file, ...facts, sealed: true }
    return one?.file ?? null
  }
  async get(id: string): Promise<StoredFile | null> {
    return this.all.get(id)?.file ?? null
  }
  async *read(id: string): AsyncGenerator<Uint8Array> {
    const one = this.all.get(id)
    if (one === undefined) throw new SluiceError('file_not_found')
    yield one.bytes
  }
  async remove(id: string): Promise<boolean> {
    return this.all.delete(id)
  }
}

const [CREATED, WINDOW_MS] = [1_000_000, 86_400_000]

/** The numbers (from 0) of its requests are in their bodies. `between`: of two lines. */
async function batchOf4(more: Partial<RunDeps> = {}, count = 4, between = '\n') {
  const files = new MemoryFiles()
  const input = await files.create({})
  const line = (_: unknown, n: number): string =>
    JSON.stringify({ custom_id: `r-${n}`, method: 'POST', url: '/v1/embeddings', body: { n } })
  await files.append(input.id, 0, Buffer.from(Array.from({ length: count }, line).join(between)))
  let stored: Batch = {
    ...{ id: 'batch_1', tenant: 't', keyId: 'k', endpoint: '/v1/embeddings', inputFileId: input.id, window: '24h' },
    ...{ metadata: null, pool: null, outputMs: 3_600_000, status: 'validating', createdAtMs: CREATED, at: {} },
    ...{ expiresAtMs: CREATED + WINDOW_MS, outputFileId: null, errorFileId: null, errors: [], owner: 'here' },
    counts: { total: 0, completed: 0, failed: 0 },
  }
  let wall = CREATED
  const told: string[] = []
  const results: ResultLine[] = []
  const canceled: string[] = []
  const submitted: string[] = []
  const deps: RunDeps = {
    files: files as unknown as Files,
    jobs: {
      byKey: async (_tenant, key) => (submitted.includes(key) ? `job of ${key}` : null),
      cancel: async (job) => {
        canceled.push(job)
        return { kind: 'canceled' }
      },
    },
    submit: async ({ key, body }) => {
      submitted.push(key)
      return { id: `job of ${key}`, n: JSON.parse(Buffer.from(body).toString()).n } as unknown as Job
    },
    refusal: (_, error) => ({ status: error.status, body: { error: error.wire } }),
    result: async () => ({ status: 200, body: {} }),
    announce: async (_batch, status) => void told.push(status),
    onResult: (line) => results.push(line),
    wallMs: () => wall,
    clock: systemClock,
    settings: { window: 4, maxLines: 100, maxBytes: 1_000, limits: { maxDepth: 8, maxKeys: 100 } },
    ...more,
  }
  const saves: { fail: string | null } = { fail: null }
  const claim = {
    get batch() {
      return stored
    },
    async save(change: (batch: Batch) => Batch | null) {
      const next = change(stored)
      if (next !== null && next.status === saves.fail) throw new Error('killed')
      if (next !== null) stored = batchOf({ ...batchDocument(next, 0), version: 1 })
      return next === null ? null : stored
    },
  }
  const text = (id: string | null): string => (id === null ? '' : (files.all.get(id)?.bytes.toString() ?? ''))
  return {
    ...{ results, told, canceled, submitted, saves, files },
    batch: () => stored,
    run: (other: Partial<RunDeps> = {}) => new Run({ ...deps, ...other }, claim),
    wall: (ms: number) => (wall = ms),
    late: () => (wall = CREATED + WINDOW_MS),
    cancel: () => (stored = become(stored, 'cancelling', wall)!),
    done: () => linesIn(text(stored.outputFileId)),
    failed: () => linesIn(text(stored.errorFileId)),
  }
}

const numberOf = (job: Job): number => (job as unknown as { n: number }).n
const names = (some: readonly { readonly custom_id: string }[]) => some.map(({ custom_id }) => custom_id).sort()
const never = new Promise<never>(() => {})

describe('a batch', () => {
  it.each(['input', 'output'] as const)('fails where its %s file was deleted, and names that one', async (which) => {
    const { run, batch, files } = await batchOf4({ result: () => never })
    const first = run()
    const working = first.run()
    await expect.poll(() => batch().status).toBe('in_progress')
    first.stop()
    await working
    await files.remove(which === 'input' ? batch().inputFileId : batch().outputFileId!)
    await run().run()
    expect(batch()).toMatchObject({
      status: 'failed',
      errors: [{ code: 'file_not_found', param: `${which}_file_id`, line: null }],
    })
  })

  it.each(['completed', 'failed'])('keeps its files for as long as was asked for from its end on (%s)', async (end) => {
    const one = await batchOf4({ result: async (job) => (numberOf(job) > 0 ? never : { status: 200, body: {} }) })
    const first = one.run()
    const working = first.run()
    await expect.poll(() => one.done().length).toBe(1)
    const output = () => one.files.all.get(one.batch().outputFileId!)!.file
    // It grows as long as the batch runs
    expect(output().expiresAtMs).toBeGreaterThan(CREATED + WINDOW_MS)
    first.stop()
    await working
    const endMs = one.wall(CREATED + WINDOW_MS / 2)
    if (end === 'failed') await one.files.remove(one.batch().inputFileId)
    await one.run({ result: async () => ({ status: 200, body: {} }) }).run()
    expect([one.batch().status, output().sealed, output().expiresAtMs]).toEqual([end, true, endMs + 3_600_000])
  })

  it('answers each line, is told, and leaves no file without lines', async () => {
    const one = await batchOf4()
    await one.run().run()
    expect([one.batch().status, one.batch().counts]).toEqual(['completed', { total: 4, completed: 4, failed: 0 }])
    expect(names(one.done())).toEqual(['r-0', 'r-1', 'r-2', 'r-3'])
    expect([one.batch().errorFileId, one.files.all.size, one.told]).toEqual([null, 2, ['completed']])
    expect(one.results.map(({ custom_id }) => custom_id).sort()).toEqual(['r-0', 'r-1', 'r-2', 'r-3'])
  })

  it('that expires keeps what is done, tells of each line that is not, and cancels what runs', async () => {
    const ended: Array<(answer: { status: number; body: unknown }) => void> = []
    const one = await batchOf4({
      result: (job) =>
        numberOf(job) < 2
          ? Promise.resolve({ status: 200, body: { n: numberOf(job) } })
          : new Promise((answer) => ended.push(answer)),
    })
    const over = one.run().run()
    await expect.poll(() => one.done().length).toBe(2)
    one.late()
    await expect.poll(() => one.canceled.length).toBe(2)
    for (const end of ended) end({ status: 499, body: {} })
    await over
    expect([one.batch().status, one.told]).toEqual(['expired', ['expired']])
    expect(one.results.map(({ error }) => error?.code ?? '').sort()).toEqual(['', '', 'batch_expired', 'batch_expired'])
    expect(one.batch().counts).toEqual({ total: 4, completed: 2, failed: 2 })
    expect(names(one.done())).toEqual(['r-0', 'r-1'])
    expect(one.failed().map(({ custom_id, response, error }) => [custom_id, response, error!.code])).toEqual([
      ['r-2', null, 'batch_expired'],
      ['r-3', null, 'batch_expired'],
    ])
    for (const id of [one.batch().outputFileId!, one.batch().errorFileId!])
      expect(one.files.all.get(id)!.file.sealed).toBe(true)
  })

  it('that is cancelled once its last line runs cancels what runs, and what is submitted meanwhile', async () => {
    const ended: Array<() => void> = []
    let submitLast = (): void => {}
    const one = await batchOf4({
      submit: async ({ key, body }) => {
        const { n } = JSON.parse(Buffer.from(body).toString()) as { n: number }
        if (n === 3) await new Promise<void>((done) => (submitLast = done))
        return { id: `job of ${key}`, n } as unknown as Job
      },
      result: (job) =>
        numberOf(job) === 0
          ? Promise.resolve({ status: 200, body: {} })
          : new Promise((answer) => ended.push(() => answer({ status: 499, body: {} }))),
    })
    const over = one.run().run()
    await expect.poll(() => ended.length).toBe(2)
    one.cancel()
    await expect.poll(() => one.canceled.length).toBeGreaterThanOrEqual(2)
    one.canceled.length = 0
    submitLast()
    await expect.poll(() => one.canceled).toEqual(['job of batch_1/4'])
    for (const end of ended) end()
    await over
    expect([one.batch().status, one.batch().counts]).toEqual(['cancelled', { total: 4, completed: 1, failed: 0 }])
    expect([names(one.done()), one.failed()]).toEqual([['r-0'], []])
  })

  it.each([true, false])(
    'that is cancelled cancels what runs, though its lines are far apart (its own: %s)',
    async (isOwn) => {
      const ended: Array<() => void> = []
      const result = (): Promise<{ status: number; body: object }> =>
        new Promise((answer) => ended.push(() => answer({ status: 499, body: {} })))
      const one = await batchOf4({ result }, 4, '\n\n\n\n\n')
      const first = one.run()
      let over = first.run()
      await expect.poll(() => ended.length).toBe(4)
      if (!isOwn) {
        first.stop()
        await over
      }
      one.cancel()
      if (!isOwn) over = one.run().run()
      await expect
        .poll(() => one.canceled.toSorted())
        .toEqual(['1', '6', '11', '16'].map((n) => `job of batch_1/${n}`).toSorted())
      for (const end of ended) end()
      await over
      expect([one.batch().status, one.batch().counts.completed]).toEqual(['cancelled', 0])
    },
  )

  it('that a store fails cancels nothing: its jobs are joined by whoever tries again', async () => {
    let isFailing = true
    const one = await batchOf4({
      result: async (job) => {
        if (!isFailing) return { status: 200, body: {} }
        if (numberOf(job) > 0) return never
        throw new Error('broken')
      },
    })
    await expect(one.run().run()).rejects.toThrow()
    expect([one.canceled, one.batch().status]).toEqual([[], 'in_progress'])
    isFailing = false
    await one.run().run()
    expect([one.batch().status, names(one.done()).length]).toEqual(['completed', 4])
  })

  it('tells of an answer that is too large for a line, with the job that has it', async () => {
    const large = { text: 'x'.repeat(1_048_576) }
    const one = await batchOf4({
      result: async (job) => ({ status: 200, body: numberOf(job) === 1 ? large : {} }),
    })
    await one.run().run()
    expect(one.batch()).toMatchObject({ status: 'completed', counts: { total: 4, completed: 3, failed: 1 } })
    const [{ custom_id, response, error }] = one.failed()
    expect([custom_id, response, error!.code]).toEqual(['r-1', null, 'result_too_large'])
    expect(error!.message).toContain('job of batch_1/2')
  })

  it('that is stopped writes what has come; whoever goes on asks for the rest alone, by the same keys', async () => {
    let isHeld = true
    const one = await batchOf4({
      result: (job) => (isHeld && numberOf(job) > 1 ? never : Promise.resolve({ status: 200, body: {} })),
    })
    const first = one.run()
    const stopped = first.run()
    await expect.poll(() => one.submitted.length).toBe(4)
    first.stop()
    await stopped
    expect([one.batch().status, names(one.done()), one.told]).toEqual(['in_progress', ['r-0', 'r-1'], []])
    // What runs is not canceled: it is joined
    expect(one.canceled).toEqual([])
    isHeld = false
    await one.run().run()
    expect(names(one.done())).toEqual(['r-0', 'r-1', 'r-2', 'r-3'])
    expect(one.submitted).toEqual([1, 2, 3, 4, 3, 4].map((line) => `batch_1/${line}`))
    expect([one.batch().status, one.batch().counts.completed]).toEqual(['completed', 4])
  })

  it.each([
    { before: 'told', fail: true, told: ['completed'] },
    { before: 'it is stored as ended', fail: false, told: ['completed', 'completed'] },
  ])('whose process dies before its end is $before is told by the next one', async ({ fail, told }) => {
    let isDying = fail
    const said: string[] = []
    const one = await batchOf4({
      announce: async (_batch, status) => {
        if (isDying) throw new Error('killed')
        said.push(status)
      },
    })
    if (!fail) one.saves.fail = 'completed'
    await expect(one.run().run()).rejects.toThrow('killed')
    expect(one.batch().status).toBe('finalizing')
    isDying = false
    one.saves.fail = null
    await one.run().run()
    expect([one.batch().status, said]).toEqual(['completed', told])
    expect([one.submitted.length, one.batch().counts]).toEqual([4, { total: 4, completed: 4, failed: 0 }])
    expect(names(one.done())).toEqual(['r-0', 'r-1', 'r-2', 'r-3'])
  })

  it('asks again for what a budget has room for while it lives, and not for what none has', async () => {
    const limit = { level: 'key', name: 'k', unit: 'tokens', limit: 1, weight: 1, left: 0 } as const
    const asked = [0, 0, 0, 0]
    const waits = [WINDOW_MS / 2, WINDOW_MS * 2, null]
    const one = await batchOf4({
      submit: async ({ body }) => {
        const { n } = JSON.parse(Buffer.from(body).toString()) as { n: number }
        if (asked[n]++ === 0 && n < 3)
          throw new SluiceError('insufficient_quota', { limit: { ...limit, waitMs: waits[n] }, retryAfterMs: 1 })
        return { id: `job ${n}`, n } as unknown as Job
      },
    })
    await one.run().run()
    expect([names(one.done()), asked]).toEqual([
      ['r-0', 'r-3'],
      [2, 1, 1, 1],
    ])
    expect(names(one.failed())).toEqual(['r-1', 'r-2'])
  })

  it('asks again for what is refused for now, and tells what is refused for good', async () => {
    let refusals = 0
    const one = await batchOf4({
      submit: async ({ body }) => {
        const { n } = JSON.parse(Buffer.from(body).toString()) as { n: number }
        if (n === 0 && refusals++ < 2) throw new SluiceError('queue_full')
        if (n === 1) throw new SluiceError('model_not_found')
        return { id: `job ${n}`, n } as unknown as Job
      },
    })
    await one.run().run()
    expect([names(one.done()), refusals]).toEqual([['r-0', 'r-2', 'r-3'], 3])
    expect(one.failed().map(({ custom_id, response }) => [custom_id, response!.status_code])).toEqual([['r-1', 404]])
  })
})
