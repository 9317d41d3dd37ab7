/** Run by young-generation.test.ts, with --expose-gc: busy, idle, busy again. Prints its size after each, MB. */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { getHeapSpaceStatistics } from 'node:v8'
import { boundYoungGeneration } from '../../src/cli/young-generation.ts'

const ENOUGH = 32
const GIVE_UP_MS = 15_000
/** Its size is looked at in a turn of the event loop after a collection. */
const NOTICED_MS = 50

const megabytes = (): number =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')!.space_size / 2 ** 20

/** Until it is large enough. Some of what is made lives for a while, or V8 would see no need to grow. */
async function beBusy(): Promise<number> {
  const giveUpAt = performance.now() + GIVE_UP_MS
  let kept: object[] = []
  while (megabytes() < ENOUGH && performance.now() < giveUpAt) {
    for (let i = 0; i < 20_000; i++) kept.push([i])
    if (kept.length > 120_000) kept = []
    await setImmediate()
  }
  return megabytes()
}

boundYoungGeneration([])
const busy = await beBusy()
await sleep(NOTICED_MS)
// What V8 does by itself some time after the last work
await gc!({ type: 'major', execution: 'async', flavor: 'last-resort' })
const idle = megabytes()
await sleep(NOTICED_MS)
process.stdout.write(JSON.stringify({ busy, idle, again: await beBusy() }))
