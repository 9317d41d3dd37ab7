/**
 * How long the event loop is held while a large store is backed up and streams run, and how fast it is moved.
 *
 *   node test/portable/measure.ts [--jobs 1500] [--streams 100]
 *
 * Each job has a request of 300 KB and an answer of 2,000 tokens.
 */
import { createWriteStream, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { Lease } from '../../src/core/ports/work.ts'
import { decoded } from '../../src/engines/shared/portable/file.ts'
import { receive } from '../../src/engines/shared/portable/transfer.ts'
import { DONE, draft } from '../conformance/words.ts'
import { folderSide, removeFolder } from './sides.ts'

const { values } = parseArgs({
  options: { jobs: { type: 'string', default: '1500' }, streams: { type: 'string', default: '100' } },
})
const [jobs, streams] = [values.jobs, values.streams].map(Number)
const QUIET_MS = 5_000
const FLUSH_MS = 60
const MIB = 2 ** 20

const side = folderSide()
const { engine, close } = await side.open()
const leases: Lease[] = []
let waiting: (() => void) | null = null
const attachment = engine.work.attach({
  id: 'w',
  pools: [],
  slots: 1_000,
  leased(some) {
    leases.push(...some)
    waiting?.()
  },
  revoked() {},
  cut() {},
})
const token = (n: number): string =>
  `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,` +
  `"delta":{"content":" tok${n}"},"finish_reason":null}]}`

async function leased(count: number): Promise<readonly Lease[]> {
  while (leases.length < count)
    await new Promise<void>((done) => {
      waiting = done
    })
  return leases.splice(0, count)
}

async function populate(engine: Engine): Promise<void> {
  const body = `{"model":"m","messages":[{"role":"user","content":"${'lorem ipsum '.repeat(25_000)}"}]}`
  for (let done = 0; done < jobs; done += 50) {
    await engine.submissions.submit(Array.from({ length: 50 }, () => draft({ body })))
    for (const lease of await leased(50)) {
      const records = Array.from({ length: 2_000 }, (_, i) => token(i))
      engine.log.open(lease).append(records, 0, false)
      await engine.work.finish(lease, DONE)
    }
  }
}

function stream(engine: Engine, some: readonly Lease[]): () => void {
  const writers = some.map((lease) => engine.log.open(lease))
  let n = 0
  const timer = setInterval(() => {
    n++
    for (const writer of writers) writer.append([token(n), token(n + 1), token(n + 2)], 3, false)
  }, FLUSH_MS)
  return () => clearInterval(timer)
}

async function held(work: Promise<unknown>): Promise<string> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const startedMono = performance.now()
  delay.enable()
  await work
  delay.disable()
  const ms = (ns: number): string => (ns / 1e6).toFixed(1)
  return (
    `${((performance.now() - startedMono) / 1000).toFixed(1)} s; loop late p50 ${ms(delay.percentile(50))}, ` +
    `p99 ${ms(delay.percentile(99))}, at most ${ms(delay.max)} ms`
  )
}

const file = join(side.dir, 'backup')
async function backUp(): Promise<void> {
  const out = createWriteStream(file)
  for await (const chunk of engine.backup())
    if (!out.write(chunk)) await new Promise<void>((drained) => out.once('drain', () => drained()))
  await new Promise<void>((ended) => out.end(() => ended()))
}

await populate(engine)
await engine.submissions.submit(Array.from({ length: streams }, () => draft()))
const stop = stream(engine, await leased(streams))
console.log(`database ${Math.round(statSync(join(side.dir, 'sluice.db')).size / MIB)} MiB, ${streams} streams`)
console.log(`streams alone   ${await held(new Promise((done) => setTimeout(done, QUIET_MS)))}`)
console.log(`with a backup   ${await held(backUp())}`)
const size = statSync(file).size
const wal = statSync(join(side.dir, 'sluice.db-wal')).size
console.log(`backup ${Math.round(size / MIB)} MiB, WAL then ${Math.round(wal / MIB)} MiB`)
stop()
await attachment.leave()
await close()
const copy = folderSide()
const { createReadStream } = await import('node:fs')
const filling = (await copy.filling())!
const began = performance.now()
await receive(decoded(createReadStream(file) as AsyncIterable<Uint8Array>, file), filling)
await filling.close()
const took = (performance.now() - began) / 1000
const rss = Math.round(process.memoryUsage().rss / MIB)
console.log(`restored and compared: ${took.toFixed(1)} s, ${Math.round(size / MIB / took)} MiB/s, RSS ${rss} MiB`)
for (const each of [side, copy]) removeFolder(each)
rmSync(file, { force: true })
process.exit(0)
