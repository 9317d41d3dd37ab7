/** What a plain document costs the store (decision 0036). The promises that it keeps: brief.ts. */
import { expect, it } from 'vitest'
import { countOf, type Histogram } from '../../src/core/numbers.ts'
import { documentRecord } from '../../src/core/record.ts'
import { embedded } from './embedded.ts'
import { accepted, DONE, draft, eventually, readAll, settled, TestWorker } from './harness.ts'

const open = embedded('process', { withoutThread: true })
const ANSWER = documentRecord('{"choices":[]}')

/** Commits until one of them was leased at once, and until it has ended. */
async function commitsOf(document: boolean): Promise<readonly [number, number]> {
  const { engine, close } = await open()
  const commitMs = engine.metrics.find(({ name }) => name === 'commit_ms') as Histogram
  const worker = new TestWorker(engine)
  worker.accept(1)
  await new Promise((done) => setImmediate(() => setImmediate(done)))
  const before = countOf(commitMs)
  const job = accepted((await engine.submissions.begin(draft({ document }))).result)
  await eventually(() => expect(worker.taken).toHaveLength(1))
  const leased = countOf(commitMs) - before
  engine.log.open(worker.taken[0]).append([ANSWER], 1, true)
  await engine.work.finish(worker.taken[0], DONE)
  expect((await readAll(engine, job.id)).records[0]).toBe(ANSWER)
  const all = countOf(commitMs) - before
  await close()
  return [leased, all]
}

it('is one commit, with its end, if it is leased at once; others are stored before their worker hears', async () => {
  expect(await commitsOf(true)).toEqual([0, 1])
  expect(await commitsOf(false)).toEqual([1, 2])
})

it.each(['shows something', 'is flushed'])('is stored with the next commit where it %s before its end', async (how) => {
  const { engine, close } = await open()
  const worker = new TestWorker(engine)
  worker.accept(1)
  const { id } = accepted((await engine.submissions.begin(draft({ document: true }))).result)
  await eventually(() => expect(worker.taken).toHaveLength(1))
  const told: string[] = []
  engine.log.follow(id, (_firstSeq, records) => void told.push(...records))
  const writer = engine.log.open(worker.taken[0])
  writer.append(['{"a":1}'], 1, how === 'shows something')
  if (how === 'is flushed') void writer.flushed()
  await settled(engine)
  expect(told).toEqual(['{"a":1}'])
  await close()
})

it('leaves the logs of others, and those that just ended, as they were', async () => {
  const { engine, close } = await open()
  const worker = new TestWorker(engine)
  const begin = async (document: boolean) => {
    worker.accept(1)
    const { result, power } = await engine.submissions.begin(draft({ document }))
    await eventually(() => expect(worker.taken.at(-1)?.job.id).toBe(accepted(result).id))
    return { lease: worker.taken.at(-1)!, power }
  }
  const streams = []
  for (let i = 0; i < 8; i++) {
    const { lease } = await begin(false)
    const writer = engine.log.open(lease)
    writer.append(['{"a":1}'], 1, true)
    await writer.flushed()
    streams.push({ lease, writer })
  }
  // More than are remembered
  for (let i = 0; i < 48; i++) {
    const { lease, power } = await begin(true)
    engine.log.open(lease).append([ANSWER], 1, true)
    const finished = engine.work.finish(lease, DONE)
    if (i % 2 === 0) await power()
    await finished
    await power()
    expect((await readAll(engine, lease.job.id)).records[0]).toBe(ANSWER)
    if (i % 6 > 0) continue
    const [stream] = streams.splice(streams.length >> 1, 1)
    stream.writer.append(['{"a":2}'], 1, false)
    await engine.work.finish(stream.lease, DONE)
    expect((await readAll(engine, stream.lease.job.id)).records.slice(0, 2)).toEqual(['{"a":1}', '{"a":2}'])
  }
  expect(engine.health()).toEqual({ ok: true })
  await close()
})
