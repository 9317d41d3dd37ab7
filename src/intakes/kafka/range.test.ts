import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { manualClock } from '../../../test/manual-clock.ts'
import { upTo } from './range.ts'

/** Of two partitions, up to 3 and 2. */
function setup() {
  const clock = manualClock()
  const offsetsToFetch = new Map([
    ['t:0', 0n],
    ['t:1', 0n],
  ])
  const stream = Object.assign(new Readable({ objectMode: true, read() {} }), { offsetsToFetch })
  const got: string[] = []
  const come = (partition: number, offset: number): void => {
    offsetsToFetch.set(`t:${partition}`, BigInt(offset + 1))
    stream.push({ partition, offset: BigInt(offset) })
  }
  const read = async (): Promise<string> => {
    for await (const { partition, offset } of upTo(stream, 't', [3n, 2n], new Set([0, 1]), clock))
      got.push(`${partition}/${offset}`)
    return 'all'
  }
  const wait = async (ms: number): Promise<void> => {
    await new Promise((go) => setImmediate(go))
    clock.advance(ms)
    await new Promise((go) => setImmediate(go))
  }
  return { stream, offsetsToFetch, got, come, wait, reading: read().catch((error: Error) => error.message) }
}

describe('what a topic holds, read up to an offset', () => {
  it('ends with the last message of each partition', async () => {
    const { come, got, reading } = setup()
    for (const [partition, offset] of [
      [0, 0],
      [1, 0],
      [1, 1],
      [1, 2],
      [0, 2],
    ] as const)
      come(partition, offset)
    expect(await reading).toBe('all')
    expect(got).toEqual(['0/0', '1/0', '1/1', '0/2'])
  })

  it('a broker that is silent for a while ends nothing', async () => {
    const { come, got, reading, wait } = setup()
    for (const offset of [0, 1]) come(1, offset)
    await wait(40_000)
    for (const offset of [0, 1, 2]) come(0, offset)
    expect(await reading).toBe('all')
    expect(got.length).toBe(5)
  })

  it('ends where all is fetched, though the last ones are no messages', async () => {
    const { come, offsetsToFetch, reading, wait } = setup()
    for (const offset of [0, 1]) come(1, offset)
    come(0, 0)
    offsetsToFetch.set('t:0', 3n)
    await wait(1_000)
    expect(await reading).toBe('all')
  })

  it.each([
    ['says where it stopped', 'Kafka fell silent: nothing came of t (partition 0, offset 1) for a minute.'],
    ['tells what failed', 'cut'],
  ])('when nothing more comes it %s', async (_, message) => {
    const { stream, come, reading, wait } = setup()
    for (const offset of [0, 1]) come(1, offset)
    come(0, 0)
    if (message === 'cut') stream.destroy(new Error('cut'))
    else await wait(61_000)
    expect(await reading).toBe(message)
  })
})
