/** Readers in a process of their own, told by IPC what to do: see crowd.ts. */
import type { Cut, Opened, Order, Resumed, Told } from './crowd.ts'
import { Reader, type ReaderEvents } from './reader.ts'

/** As @sluice/client waits: anywhere within a window that doubles. */
const FIRST_MS = 500
const LONGEST_MS = 20_000
const LOOK_MS = 20
/** Told of readers that are late. */
const TROUBLES = 9

let ports: readonly number[] = []
const readers: Reader[] = []
/** Tries since it was caught up last. */
const failures = new Map<Reader, number>()
/** How long each took from the loss of its connection to being caught up, ms, since the last order. */
let resumedMs: number[] = []
let attempts = 0
/** What readers must have shown, and when the last of them had, ms after the order. */
let heads: { readonly byJob: ReadonlyMap<string, number>; readonly sinceMono: number } | null = null

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

const events: ReaderEvents = {
  onCaughtUp(reader) {
    failures.delete(reader)
    if (reader.lostMono > 0) resumedMs.push(performance.now() - reader.lostMono)
    reader.lostMono = 0
  },
  onLost(reader, slot) {
    const failed = failures.get(reader) ?? 0
    failures.set(reader, failed + 1)
    const [from, to] = slot ?? [0, Math.min(LONGEST_MS, FIRST_MS * 2 ** failed)]
    setTimeout(() => open(reader), from + Math.random() * (to - from))
  },
}

/** At any gateway, as a load balancer chooses. */
function open(reader: Reader): void {
  attempts++
  reader.open(ports[Math.floor(Math.random() * ports.length)])
}

async function when(isSo: () => boolean, withinMs: number): Promise<boolean> {
  const giveUpMono = performance.now() + withinMs
  while (!isSo()) {
    if (performance.now() > giveUpMono) return false
    await sleep(LOOK_MS)
  }
  return true
}

async function opened({ readers: count, perSecond, key, request, withinMs }: Opened): Promise<Told> {
  const startedMono = performance.now()
  for (let n = 0; n < count; n++) {
    const reader = new Reader(n, key, request, events)
    readers.push(reader)
    open(reader)
    const early = (1_000 * n) / perSecond - (performance.now() - startedMono)
    if (early > LOOK_MS) await sleep(early)
  }
  return settled(withinMs)
}

/** All are caught up, and stay so. */
async function settled(withinMs: number): Promise<Told> {
  await when(() => readers.every(({ isCaughtUp }) => isCaughtUp), withinMs)
  const open = readers.filter(({ isOver }) => !isOver)
  const late = readers.filter(({ isCaughtUp }) => !isCaughtUp)
  const without = (has: (reader: Reader) => boolean): number => late.filter((reader) => !has(reader)).length
  const connected = without(({ isConnected }) => isConnected)
  const troubles = [...new Set(readers.flatMap(({ faults, retried }) => [...faults, ...retried]))].slice(0, TROUBLES)
  const why =
    `${connected} without a connection, ${without(({ job }) => job !== null)} without a job; ` +
    `of all: ${JSON.stringify(troubles)}`
  return { missing: late.length, open: open.length, why }
}

/** `port`: of one gateway only. Null: nobody is cut here; `expected` of them are lost by something else. */
async function cut({ port, expected, withinMs }: Cut): Promise<Resumed> {
  resumedMs = []
  attempts = 0
  if (expected === null) {
    for (const reader of readers) if (!reader.isOver && (port === null || reader.port === port)) reader.cut()
    expected = 0
  }
  const lost = (): number => resumedMs.length + readers.filter(({ lostMono }) => lostMono > 0).length
  const least = expected
  await when(() => lost() >= least, withinMs)
  const { missing } = await settled(withinMs)
  return { resumedMs, attempts, missing }
}

/** Resolves with how long it took the last of them. */
async function reached(byJob: Readonly<Record<string, number>>, withinMs: number): Promise<number> {
  heads = { byJob: new Map(Object.entries(byJob)), sinceMono: performance.now() }
  const { sinceMono } = heads
  const left = new Set(readers.filter(({ job, isOver }) => !isOver && heads!.byJob.has(job!)))
  await when(() => {
    for (const reader of left) if (reader.isOver || reader.seq >= byJob[reader.job!]) left.delete(reader)
    return left.size === 0
  }, withinMs)
  return left.size === 0 ? performance.now() - sinceMono : -1
}

async function perform(order: Order): Promise<unknown> {
  switch (order.do) {
    case 'ports':
      ports = order.ports
      return null
    case 'open':
      return opened(order)
    case 'cut':
      return cut(order)
    case 'heads':
      return reached(order.heads, order.withinMs)
    case 'jobs':
      return readers
        .filter(({ isOver, job, port }) => !isOver && job !== null && (order.port === null || port === order.port))
        .map(({ job }) => job)
    case 'end':
      await when(() => readers.every(({ isOver }) => isOver), order.withinMs)
      return readers.map((reader) => ({
        job: reader.job,
        isOver: reader.isOver,
        text: reader.text.toString(),
        faults: reader.faults,
        retried: reader.retried,
      }))
  }
}

process.on('message', (order: Order & { readonly n: number }) => {
  perform(order).then(
    (is) => process.send!({ n: order.n, is }),
    (error: Error) => process.send!({ n: order.n, error: error.stack }),
  )
})
process.on('disconnect', () => process.exit())
