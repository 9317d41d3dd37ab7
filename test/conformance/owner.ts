/**
 * Run as a process of its own, to be killed: continues with what it finds, submits and streams jobs, and prints what it
 * was told.
 */

import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import { systemClock, Wheel } from '../../src/core/clock.ts'
import { SluiceError } from '../../src/core/errors.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { Lease } from '../../src/core/ports/work.ts'
import { attemptRecord } from '../../src/core/record.ts'
import { openEmbedded } from '../../src/engines/embedded/open.ts'
import { UNLIMITED } from '../../src/engines/shared/conversation-limits.ts'
import { coordinatorOptions } from './settings.ts'
import { DONE, draft } from './words.ts'

const engine = openEmbedded({
  dir: process.argv[2],
  durability: 'power',
  coordinator: createCoordinator(coordinatorOptions({ maxCrashes: 1_000 })),
  clock: systemClock,
  ids: systemIds(),
  wheel: new Wheel(systemClock),
  retention: {
    logsMs: 86_400_000,
    bytes: 1 << 30,
    atLeastMs: 0,
    usageMs: 86_400_000,
    usageBytes: 1 << 30,
    tenant: () => null,
    conversations: UNLIMITED,
  },
  joinAfterEndMs: 60_000,
  disconnectGraceMs: 15_000,
  boot: { id: 'boot', ms: () => null },
  onFact: () => {},
})
await engine.restore()
const say = (line: string): void => void process.stdout.write(`${line}\n`)

async function run(lease: Lease): Promise<void> {
  const { id } = lease.job
  const writer = engine.log.open(lease)
  const page = await engine.log.read(id, 0, 1 << 30)
  let i = page!.records.filter((r) => !r.startsWith('@')).length
  writer.append([attemptRecord({ n: lease.attempt, mode: 'continue', deployment: 'd' })], 0, false)
  let seq = writer.head + 1
  for (let n = 0; n < 8; n++) {
    writer.append([`{"i":${i++}}`, `{"i":${i++}}`], 2, n === 0)
    seq += 2
    await writer.flushed()
    say(`flushed ${id} ${seq}`)
  }
  if ((await engine.work.finish(lease, DONE)).kind === 'ended') say(`ended ${id}`)
}

/** Its submit was refused in the commit that leased it (a full disk). */
function lost(error: unknown): void {
  if (!(error instanceof SluiceError)) throw error
}

engine.work.attach({
  id: 'w',
  pools: [],
  slots: 50,
  leased(leases) {
    for (const lease of leases) void run(lease).catch(lost)
  },
  revoked() {},
  cut() {},
})
say('ready - -')
setInterval(() => {
  void engine.submissions.submit([draft({ options: { lane: 'l' } }), draft()]).then((results) => {
    for (const result of results)
      if (result.kind === 'accepted') say(`accepted ${result.job.id}`)
      else if (result.kind === 'refused') say(`refused ${result.error.code}`)
  })
}, 2)
