/** Held by every engine: the TokenLog port. */
import { expect } from 'vitest'
import type { Bytes } from '../../src/core/record.ts'
import { depth } from '../depth.ts'
import { type Case, DONE, eventually, readAll, submit, TestWorker } from './harness.ts'

const chunk = (i: number): Bytes =>
  '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,' +
  `"delta":{"content":" tok${i}"},"finish_reason":null}]}`
const noEnd = (records: readonly Bytes[]): readonly Bytes[] => records.filter((r) => !r.startsWith('@end'))

export const logCases: readonly Case[] = [
  {
    name: 'a log is empty before anything is in it, and there is none of an unknown job',
    async run(open) {
      const { engine } = await open()
      const job = await submit(engine)
      expect(await engine.log.read(job.id, 0, 1000)).toEqual({
        epoch: 1,
        firstSeq: 1,
        records: [],
        head: 0,
        ended: false,
      })
      expect(await engine.log.read('job_00000000000000000000000000', 0, 1000)).toBeNull()
    },
  },
  {
    name: 'the head is told without the records: of a log that grows, that has ended, and of none',
    async run(open) {
      const { engine } = await open()
      const job = await submit(engine)
      expect(await engine.log.head(job.id)).toEqual({ epoch: 1, head: 0, ended: false })
      const worker = new TestWorker(engine)
      const lease = await worker.one(job)
      const writer = engine.log.open(lease)
      writer.append([chunk(1), chunk(2)], 2, true)
      await writer.flushed()
      expect(await engine.log.head(job.id)).toEqual({ epoch: 1, head: 2, ended: false })
      await engine.work.finish(lease, DONE)
      expect(await engine.log.head(job.id)).toEqual({ epoch: 1, head: 3, ended: true })
      expect(await engine.log.head('job_00000000000000000000000000')).toBeNull()
    },
  },
  {
    name: 'records are readable once flushed, in order, numbered from 1; pendingBytes falls back to 0',
    async run(open) {
      const { engine } = await open()
      const lease = await new TestWorker(engine).one(await submit(engine))
      const writer = engine.log.open(lease)
      expect([writer.epoch, writer.head, writer.pendingBytes]).toEqual([1, 0, 0])
      writer.append([chunk(1), chunk(2)], 2, true)
      writer.append([chunk(3)], 1, false)
      expect(writer.pendingBytes).toBe(chunk(1).length * 3)
      await writer.flushed()
      expect(writer.pendingBytes).toBe(0)
      expect(await engine.log.read(lease.job.id, 0, 1 << 20)).toEqual({
        epoch: 1,
        firstSeq: 1,
        records: [chunk(1), chunk(2), chunk(3)],
        head: 3,
        ended: false,
      })
      await writer.flushed()
      writer.append([], 0, true)
      await writer.flushed()
    },
  },
  {
    name: 'any bytes come back as they were: binary, empty, large, whole answers, control records',
    async run(open) {
      const { engine } = await open()
      const job = await submit(engine)
      const lease = await new TestWorker(engine).one(job)
      const writer = engine.log.open(lease)
      const all = Array.from({ length: 256 }, (_, c) => String.fromCharCode(c)).join('')
      const records = [
        '',
        all,
        `@attempt {"n":1}`,
        chunk(1),
        chunk(2),
        `${chunk(3)}\xff`,
        'x'.repeat(1 << 20),
        '\x00',
        '\x01\x02',
        Buffer.from('{"é":"日本"}').toString('latin1'),
        '@document {\n  "choices": [{"message": {"content": "x"}}], "n": 1.50\n}\n',
        chunk(4),
      ]
      for (const record of records) writer.append([record], 0, false)
      await writer.flushed()
      expect((await readAll(engine, job.id)).records).toEqual(records)
      await engine.work.finish(lease, DONE)
      expect(noEnd((await readAll(engine, job.id, 10)).records)).toEqual(records)
    },
  },
  {
    name: 'reading is paged by bytes: whole records, at least one; from any place',
    async run(open) {
      const { engine } = await open()
      const job = await submit(engine)
      const lease = await new TestWorker(engine).one(job)
      const writer = engine.log.open(lease)
      const records = Array.from({ length: 300 }, (_, i) => chunk(i))
      for (let i = 0; i < 300; i += 7) {
        writer.append(records.slice(i, i + 7), 7, false)
        if (i % 3 === 0) await writer.flushed()
      }
      await writer.flushed()
      const check = async (ended: boolean, head: number): Promise<void> => {
        for (const after of [0, 1, 6, 7, 8, 150, 298, 299]) {
          const page = (await engine.log.read(job.id, after, 1_000))!
          expect(page).toMatchObject({ firstSeq: after + 1, head, ended })
          const size = page.records.reduce((sum, r) => sum + r.length, 0)
          expect(size).toBeLessThan(1_000 + 200)
          expect(noEnd(page.records)).toEqual(records.slice(after, after + noEnd(page.records).length))
          expect((await engine.log.read(job.id, after, 0))!.records).toEqual([records[after]])
        }
        expect((await engine.log.read(job.id, head, 1_000))!.records).toEqual([])
        expect((await engine.log.read(job.id, head + 5, 1_000))!.records).toEqual([])
        expect((await readAll(engine, job.id, 500)).records.slice(0, 300)).toEqual(records)
      }
      await check(false, 300)
      await engine.work.finish(lease, DONE)
      await check(true, 301)
    },
  },
  {
    name: 'a very long answer is all there, while it streams and after',
    async run(open) {
      const { engine } = await open()
      const job = await submit(engine)
      const lease = await new TestWorker(engine).one(job)
      const writer = engine.log.open(lease)
      const records = Array.from({ length: depth(60_000, 12_000) }, (_, i) => chunk(i * 7919))
      for (let i = 0; i < records.length; i += 500) {
        writer.append(records.slice(i, i + 500), 500, false)
        await writer.flushed()
      }
      const middle = async (): Promise<void> => {
        for (const after of [0, 1, 9_999, 10_000, (records.length >> 1) + 1, records.length - 10])
          expect((await engine.log.read(job.id, after, 1_000))!.records.slice(0, 3)).toEqual(
            records.slice(after, after + 3),
          )
      }
      await middle()
      expect((await readAll(engine, job.id)).records).toEqual(records)
      await engine.work.finish(lease, DONE)
      await middle()
      expect(noEnd((await readAll(engine, job.id)).records)).toEqual(records)
    },
  },
  {
    name: 'followers get each run once, in order, what they get is readable, and all of them in the same turn',
    async run(open) {
      const { engine } = await open()
      const job = await submit(engine)
      const lease = await new TestWorker(engine).one(job)
      const writer = engine.log.open(lease)
      const [a, b]: Bytes[][] = [[], []]
      let turn = 0
      let isOver = false
      const turns: number[][] = [[], []]
      const next = (): void => {
        turn++
        setImmediate(() => isOver || next())
      }
      next()
      try {
        for (const [i, got] of [a, b].entries())
          engine.log.follow(job.id, (firstSeq, records) => {
            if (firstSeq !== got.length + 1) got.push(`gap before ${firstSeq}`)
            got.push(...records)
            turns[i].push(turn)
          })
        const records = Array.from({ length: 50 }, (_, i) => chunk(i))
        for (const record of records) {
          writer.append([record], 1, Math.random() < 0.3)
          if (Math.random() < 0.3) await new Promise((done) => setImmediate(done))
        }
        await writer.flushed()
        expect(a).toEqual(records)
        expect(b).toEqual(records)
        expect(turns[0]).toEqual(turns[1])
        await engine.work.finish(lease, DONE)
        expect(a.length).toBe(51)
        expect(a.at(-1)).toMatch(/^@end/)
        expect(b).toEqual(a)
      } finally {
        // Also where it fails: it would take a core as long as the process lives
        isOver = true
      }
    },
  },
  {
    name: 'follow, then read, then drop what both brought: no gap and no double, joined at any time (S1)',
    async run(open) {
      const { engine } = await open()
      const job = await submit(engine)
      const lease = await new TestWorker(engine).one(job)
      const writer = engine.log.open(lease)
      const records = Array.from({ length: 400 }, (_, i) => chunk(i))
      const readers: Array<Promise<readonly Bytes[]>> = []
      const join = (pageBytes: number): void => {
        readers.push(
          new Promise((resolve, reject) => {
            const got: Bytes[] = []
            const early: Array<readonly [number, readonly Bytes[]]> = []
            let caughtUp = false
            const take = (firstSeq: number, run: readonly Bytes[]): void => {
              const known = got.length + 1 - firstSeq
              if (known < 0) reject(new Error(`gap before ${firstSeq}`))
              for (const record of run.slice(known)) got.push(record)
              if (got.at(-1)?.startsWith('@end')) resolve(got)
            }
            engine.log.follow(job.id, (firstSeq, run) =>
              caughtUp ? take(firstSeq, run) : void early.push([firstSeq, run]),
            )
            const catchUp = async (): Promise<void> => {
              for (;;) {
                const page = (await engine.log.read(job.id, got.length, pageBytes))!
                got.push(...page.records)
                if (got.length >= page.head) break
              }
              for (const [firstSeq, run] of early) take(firstSeq, run)
              caughtUp = true
              if (got.at(-1)?.startsWith('@end')) resolve(got)
            }
            catchUp().catch(reject)
          }),
        )
      }
      for (let i = 0; i < records.length; i++) {
        writer.append([records[i]], 1, i % 11 === 0)
        if (i % 13 === 0) join(1 + ((i * 37) % 2_000))
        if (i % 5 === 0) await new Promise((done) => setImmediate(done))
      }
      await engine.work.finish(lease, DONE)
      join(100)
      for (const reader of readers) {
        const got = await reader
        expect(got.slice(0, 400)).toEqual(records)
        expect(got.length).toBe(401)
      }
    },
  },
  {
    name: 'a follower that left hears nothing more; one of an ended or unknown log hears nothing at all',
    async run(open) {
      const { engine } = await open()
      const job = await submit(engine)
      const lease = await new TestWorker(engine).one(job)
      const writer = engine.log.open(lease)
      let [left, stayed] = [0, 0]
      const leave = engine.log.follow(job.id, () => left++)
      engine.log.follow(job.id, () => {
        stayed++
        leave.stop()
      })
      writer.append([chunk(1)], 1, true)
      await writer.flushed()
      writer.append([chunk(2)], 1, true)
      await writer.flushed()
      expect([left, stayed]).toEqual([1, 2])
      await engine.work.finish(lease, DONE)
      let late = 0
      engine.log.follow(job.id, () => late++).stop()
      engine.log.follow(job.id, () => late++)
      engine.log.follow('job_00000000000000000000000000', () => late++).stop()
      await readAll(engine, job.id)
      expect([left, stayed, late]).toEqual([1, 3, 0])
    },
  },
  {
    name: 'what was taken before finish is stored before the end; nothing is stored behind it',
    async run(open) {
      const { engine } = await open()
      const job = await submit(engine)
      const lease = await new TestWorker(engine).one(job)
      const writer = engine.log.open(lease)
      const heard: Bytes[] = []
      engine.log.follow(job.id, (_firstSeq, records) => heard.push(...records))
      writer.append([chunk(1), chunk(2)], 2, false)
      const finishing = engine.work.finish(lease, DONE)
      writer.append([chunk(3)], 1, true)
      await finishing
      writer.append([chunk(4)], 1, true)
      await writer.flushed()
      const { records, ended } = await readAll(engine, job.id)
      expect(records.slice(0, 2)).toEqual([chunk(1), chunk(2)])
      expect([records.length, ended]).toEqual([3, true])
      expect(heard).toEqual(records)
      expect(() => engine.log.open(lease)).toThrow()
    },
  },
  {
    name: 'the end is neither readable nor followed nor in the job before finish resolves',
    async run(open) {
      const { engine } = await open()
      const job = await submit(engine)
      const lease = await new TestWorker(engine).one(job)
      engine.log.open(lease).append([chunk(1)], 1, false)
      let resolved = false
      let endHeardAt: string | null = null
      engine.log.follow(job.id, (_firstSeq, records) => {
        if (records.at(-1)!.startsWith('@end')) endHeardAt = resolved ? 'after' : 'with'
      })
      const finishing = engine.work.finish(lease, DONE).then(() => (resolved = true))
      let looks = 0
      while (!resolved) {
        const [page, seen] = [await engine.log.read(job.id, 0, 1 << 20), await engine.jobs.get(job.id)]
        if (!resolved && endHeardAt === null) {
          looks++
          expect(page!.ended).toBe(false)
          expect(page!.records.some((r) => r.startsWith('@end'))).toBe(false)
          expect(seen!.state).toBe('leased')
        }
        await new Promise((done) => setImmediate(done))
      }
      await finishing
      expect(looks).toBeGreaterThan(0)
      expect(endHeardAt).toBe('with')
    },
  },
  {
    name: 'an unfinished attempt of a job that was handed on keeps its text; the next one goes on behind it',
    async run(open) {
      const { engine } = await open()
      const [w1, w2] = [new TestWorker(engine, 'w1'), new TestWorker(engine, 'w2')]
      const job = await submit(engine)
      const first = engine.log.open(await w1.one(job))
      first.append([chunk(1)], 1, false)
      w1.leave()
      first.append([chunk(99)], 1, false)
      const second = engine.log.open(await w2.one(job))
      expect(second.head).toBe(1)
      second.append([chunk(2)], 1, false)
      await eventually(async () => expect((await readAll(engine, job.id)).records).toEqual([chunk(1), chunk(2)]))
    },
  },
]
