/** Jobs with a broker in front of the engine: who waits for one that is published is told when it is owned. */
import { expect } from 'vitest'
import type { JobId } from '../../src/core/job.ts'
import type { Intake } from '../../src/core/ports/intake.ts'
import type { Jobs } from '../../src/core/ports/jobs.ts'
import type { Submissions } from '../../src/core/ports/submissions.ts'
import { Envelopes } from '../../src/intakes/envelope.ts'
import { createFigures } from '../../src/intakes/figures.ts'
import { Ingest } from '../../src/intakes/ingest.ts'
import { Issued } from '../../src/intakes/issued.ts'
import { arriving } from '../../src/intakes/jobs.ts'
import { Published } from '../../src/intakes/published.ts'
import { publishing } from '../../src/intakes/submissions.ts'
import { MemoryBroker } from '../intakes/memory.ts'
import { accepted, type Case, draft, type Opened } from './harness.ts'

const NEVER_MS = 3_600_000
const HERE = new AbortController().signal

interface Front {
  readonly submissions: Submissions
  readonly jobs: Jobs & Required<Pick<Jobs, 'arrived'>>
  /** Takes what the broker has. */
  take(): void
}

/** A process with the broker in front. */
function front({ engine, clock }: Opened, broker: MemoryBroker, isOneOfMany: boolean): Front {
  const intake: Intake = broker.connect({ pools: ['text'], window: 10 })
  const published = new Published({ jobs: engine.jobs, clock, isOneOfMany })
  const figures = createFigures(() => [intake])
  const envelopes = new Envelopes(Buffer.from('secret'))
  const issued = new Issued({ envelopes, wallMs: () => clock.wallMs(), keptMs: () => Infinity })
  const shared = { envelopes, issued, published, figures, clock, intakeOf: () => intake }
  const ingest = new Ingest({
    ...shared,
    submissions: engine.submissions,
    jobs: engine.jobs,
    admit: () => Promise.reject() as never,
    tenant: 'acme',
    window: () => 10,
    jitter: () => 0,
    onDead: () => {},
  })
  return {
    submissions: publishing({ ...shared, inner: engine.submissions, jobs: engine.jobs }),
    jobs: arriving({
      ...shared,
      inner: engine.jobs,
      submissions: engine.submissions,
      isOneOfMany,
    }) as Front['jobs'],
    take: () => intake.consume(ingest.from(intake)),
  }
}

async function publish({ submissions }: Front): Promise<JobId> {
  const [submitted] = await submissions.submit([draft()])
  const { id, epoch } = accepted(submitted)
  expect(epoch).toBe(0)
  return id
}

const settled = async (promise: Promise<unknown>): Promise<boolean> =>
  (await Promise.race([promise, new Promise((go) => setTimeout(go, 300, 'waits'))])) !== 'waits'

export const arrivalCases: readonly Case[] = [
  {
    name: 'who waits for a job that is published is told as soon as it is owned, and at once from then on',
    async run(open) {
      const here = front(await open(), new MemoryBroker(), false)
      const id = await publish(here)
      const waits = [0, 1].map(() => here.jobs.arrived(id, NEVER_MS, HERE))
      expect(await settled(Promise.race(waits))).toBe(false)
      here.take()
      for (const wait of waits) expect(await wait).toMatchObject({ id, epoch: expect.any(Number) })
      expect((await waits[0])!.epoch).toBeGreaterThan(0)
      expect(await here.jobs.arrived(id, NEVER_MS, HERE)).toMatchObject({ id })
    },
  },
  {
    name: 'a wait ends with its time, or when its caller leaves',
    async run(open) {
      const opened = await open()
      const here = front(opened, new MemoryBroker(), true)
      const id = await publish(here)
      expect(await here.jobs.arrived(id, 20, HERE)).toBeNull()
      const leaving = new AbortController()
      const wait = here.jobs.arrived(id, NEVER_MS, leaving.signal)
      expect(await settled(wait)).toBe(false)
      leaving.abort()
      expect(await wait).toBeNull()
      expect(await here.jobs.arrived(id, NEVER_MS, leaving.signal)).toBeNull()
      const [never] = await opened.engine.submissions.reserve(1)
      expect(await here.jobs.arrived(never, 20, HERE)).toBeNull()
      expect(await here.jobs.arrived('no id', NEVER_MS, HERE)).toBeNull()
    },
  },
  {
    name: 'one that is erased comes no more',
    async run(open) {
      const here = front(await open(), new MemoryBroker(), false)
      const id = await publish(here)
      here.take()
      expect(await here.jobs.arrived(id, NEVER_MS, HERE)).not.toBeNull()
      expect(await here.jobs.erase(id)).toBe(true)
      expect(await here.jobs.arrived(id, 20, HERE)).toBeNull()
    },
  },
  {
    name: 'one that is canceled where it was published is canceled for whoever takes it, and never leased',
    needs: 'fleet',
    async run(open) {
      const broker = new MemoryBroker()
      const first = await open()
      const [here, there] = [first, await first.beside!()].map((each) => front(each, broker, true))
      const [id, after] = [await publish(here), await publish(here)]
      expect(await here.jobs.cancel(id)).toEqual({ kind: 'canceled' })
      expect(await here.jobs.get(id)).toMatchObject({ id, state: 'canceled' })
      there.take()
      expect(await here.jobs.arrived(after, NEVER_MS, HERE)).not.toBeNull()
      expect(await there.jobs.get(id)).toMatchObject({ id, state: 'canceled', attempts: 0 })
      expect(await here.jobs.cancel(id)).toEqual({ kind: 'ended' })
    },
  },
  {
    name: 'also where another process has published it, and a third one takes it',
    needs: 'fleet',
    async run(open) {
      const broker = new MemoryBroker()
      const first = await open()
      const [here, there, third] = [first, await first.beside!(), await first.beside!()].map((each) =>
        front(each, broker, true),
      )
      const id = await publish(here)
      const waits = [here, there].map(({ jobs }) => jobs.arrived(id, NEVER_MS, HERE))
      expect(await settled(Promise.race(waits))).toBe(false)
      third.take()
      for (const wait of waits) expect(await wait).toMatchObject({ id })
      expect(await there.jobs.get(id)).toMatchObject({ id })
    },
  },
]
