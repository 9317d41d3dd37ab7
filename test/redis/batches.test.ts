/** A batch in a fleet: the gateway that works on it is killed (-9), the other goes on; each line is answered once. */
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { linesIn } from '../batches/lines.ts'
import { ADMIN_KEY, call, type Fleet, type FleetProcess, KEY, startFleet } from '../e2e/fleet.ts'
import { killAll, removeFolders } from '../e2e/serve.ts'
import { NO_REDIS } from './server.ts'

const LINES = 60

describe.skipIf(NO_REDIS)('Redis: batches of a fleet', () => {
  let fleet: Fleet
  beforeAll(async () => {
    fleet = await startFleet('gateway', 'gateway', 'worker')
  })
  afterAll(async () => {
    await fleet?.stop()
    killAll()
    removeFolders()
  })

  const isAtWork = async ({ adminUrl }: FleetProcess): Promise<boolean> =>
    /^sluice_running_batches 1$/m.test(await (await call(adminUrl, '/metrics', { key: ADMIN_KEY })).text())
  const clientOf = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: KEY })

  it('goes on at the other gateway, with one job and one result for each line', async () => {
    const gateways = fleet.processes.filter(({ role }) => role === 'gateway')
    const openai = clientOf(gateways[0].url!)
    const lines = Array.from({ length: LINES }, (_, n) => {
      const messages = [{ role: 'user', content: `demo: tokens=${3 + (n % 5)} delay=60 ttft=200 seed=${n}` }]
      const body = { model: n % 20 === 19 ? 'nobody' : 'demo', messages }
      return JSON.stringify({ custom_id: `r-${n}`, method: 'POST', url: '/v1/chat/completions', body })
    })
    const input = await openai.files.create({ file: await toFile(Buffer.from(lines.join('\n'))), purpose: 'batch' })
    const { id } = await openai.batches.create({
      ...{ input_file_id: input.id, endpoint: '/v1/chat/completions', completion_window: '24h' },
    })
    const resultsAt = async (client: OpenAI, file: string | null | undefined) =>
      file == null ? [] : linesIn(await (await client.files.content(file)).text())
    for (;;) {
      const { status, output_file_id: output } = await openai.batches.retrieve(id)
      expect(['validating', 'in_progress']).toContain(status)
      if ((await resultsAt(openai, output)).length >= 10) break
    }
    const atWork = await Promise.all(gateways.map(isAtWork))
    expect(atWork.filter(Boolean)).toHaveLength(1)
    const [killed, left] = atWork[0] ? gateways : gateways.toReversed()
    killed.child.kill('SIGKILL')
    await killed.ended

    const other = clientOf(left.url!)
    expect((await other.batches.retrieve(id)).status).toBe('in_progress')
    await expect.poll(async () => (await other.batches.retrieve(id)).status, { timeout: 150_000 }).toBe('completed')
    const ended = await other.batches.retrieve(id)
    const [done, failed] = [await resultsAt(other, ended.output_file_id), await resultsAt(other, ended.error_file_id)]
    expect(ended.request_counts).toEqual({ total: LINES, completed: LINES - 3, failed: 3 })
    const idsOf = (some: readonly { readonly custom_id: string }[]) => some.map(({ custom_id }) => custom_id).sort()
    const bad = ['r-19', 'r-39', 'r-59']
    expect(idsOf(failed)).toEqual(bad)
    expect(idsOf([...done, ...failed])).toEqual(lines.map((_, n) => `r-${n}`).sort())
    for (const { custom_id, response } of done) {
      const { usage } = response!.body as OpenAI.ChatCompletion
      expect([response!.status_code, usage!.completion_tokens]).toEqual([200, 3 + (Number(custom_id.slice(2)) % 5)])
    }
    // Jobs that the killed one had submitted are joined, not run again
    const jobs = (await (await call(left.url!, '/v1/jobs?limit=1000')).json()) as { data: readonly { id: string }[] }
    expect(done.map(({ response }) => response!.request_id).sort()).toEqual(jobs.data.map((job) => job.id).sort())
  })
})
