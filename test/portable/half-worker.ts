/** Moves so many items, tells that it has, and waits for its end: `fillUntil` in faults.test.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { type Part, partsOf } from '../../src/engines/shared/portable/parts.ts'
import { fill } from '../../src/engines/shared/portable/transfer.ts'
import { type Described, sideOf } from './sides.ts'

const { from, to, items } = workerData as { readonly from: Described; readonly to: Described; readonly items: number }
const held = await sideOf(from).held()
const filling = (await sideOf(to).filling())!

async function* some(): AsyncGenerator<Part> {
  let left = items
  for await (const part of partsOf(held.sources)) {
    if ('item' in part && left-- === 0) return
    yield part
  }
}

await fill(some(), filling.sinks, filling.name)
parentPort!.postMessage('half')
parentPort!.on('message', () => {})
