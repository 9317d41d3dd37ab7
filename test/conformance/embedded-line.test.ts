/** What is no line: a decision that takes long, as the first ones of a process do, and a slow commit. */
import { expect, it } from 'vitest'
import type { Happened } from '../../src/core/facts.ts'
import type { Coordinator } from '../../src/core/ports/coordinator.ts'
import { embedded } from './embedded.ts'
import { accepted, draft, eventually, TestWorker } from './harness.ts'

const SLOW_MS = 60
const hold = (): void => {
  for (const untilMono = performance.now() + SLOW_MS; performance.now() < untilMono; );
}
const open = embedded('process', {
  withoutThread: true,
  coordinator: (real) =>
    new Proxy(real, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name)
        if (typeof member !== 'function') return member
        if (name !== 'submit') return member.bind(target) as unknown
        return (...args: Parameters<Coordinator['submit']>) => {
          hold()
          return target.submit(...args)
        }
      },
    }),
})

it('a slow decision is a part of the admission', async () => {
  const { engine, facts, close } = await open()
  const worker = new TestWorker(engine)
  worker.accept(1)
  const job = accepted((await engine.submissions.begin(draft({ admissionMs: 1 }))).result)
  await eventually(() => expect(worker.taken).toHaveLength(1))
  const [lease] = worker.taken
  expect(lease.job.admissionMs).toBeGreaterThanOrEqual(1 + SLOW_MS)
  expect(lease.job.admissionMs).toBe(job.admissionMs)
  expect(lease.queuedMs).toBeLessThan(SLOW_MS)
  expect(lease.sinceAcceptedMs - lease.queuedMs - (lease.leasingMs ?? 0)).toBeCloseTo(0, 6)
  const leased = facts.find((fact): fact is Extract<Happened, { type: 'job-leased' }> => fact.type === 'job-leased')
  expect(leased?.queuedMs).toBe(lease.queuedMs)
  await close()
})
