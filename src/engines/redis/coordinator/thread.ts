/** A host in a thread of its own: whatever else its process does, the fleet is coordinated. See host-thread.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../../../core/clock.ts'
import type { Happened } from '../../../core/facts.ts'
import { systemIds } from '../../../core/ids.ts'
import { Host } from './host.ts'
import type { DecisionsModule, FromHost, HostData, ToHost } from './host-thread.ts'

const { redis, rules, module, options } = workerData as HostData
const port = parentPort!
const tell = (message: FromHost): void => port.postMessage(message)

/** All facts of a turn in one message. */
let facts: Happened[] = []
const emit = (fact: Happened): void => {
  if (facts.length === 0)
    systemClock.soon(() => {
      tell({ type: 'facts', facts })
      facts = []
    })
  facts.push(fact)
}

const decisions = ((await import(module)) as DecisionsModule).openDecisions(options)
const host = new Host({
  redis,
  rules: { ...rules, keepMs: (tenant) => decisions.keepMs(tenant) },
  createCoordinator: () => decisions.createCoordinator(),
  decisions,
  clock: systemClock,
  ids: systemIds(),
  emit,
  chores: {
    start: () => tell({ type: 'acting', is: true }),
    stop: () => tell({ type: 'acting', is: false }),
  },
})

port.on('message', (message: ToHost) => {
  if (message.type === 'configure') host.configure(message.models, message.settings)
  else if (message.type === 'adjust') host.adjust(message.settings)
  else if (message.type === 'stop')
    void host.stop().then(() => {
      if (facts.length > 0) tell({ type: 'facts', facts })
      tell({ type: 'stopped' })
      port.close()
    })
})

host.start().then(
  () => tell({ type: 'started' }),
  (error: unknown) => tell({ type: 'refused', message: error instanceof Error ? error.message : String(error) }),
)
