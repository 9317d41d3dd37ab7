/** What a token, a call and an accept cost as there is more of everything: streams at once, jobs that are stored. */
import { jobsPerSecond, submitLatency } from '../alone.ts'
import { type Load, loadsOf, put, warmUp } from '../loads.ts'
import { ROOT, type Running, sluice, sluiceIn } from '../targets.ts'
import type { Priority, Tools } from '../tools.ts'
import type { FigureName } from './goals.ts'

interface Bench {
  readonly tools: Tools
  readonly priority: Priority
  readonly upstreamPort: number
  readonly rounds: number
  readonly seconds: number
  note(text: string): void
}
export type Figures = Map<FigureName, number[]>

const push = (figures: Figures, name: FigureName, value: number): void =>
  void figures.set(name, [...(figures.get(name) ?? []), value])

/** In as many rounds, each on a fresh server: 1,000 streams, 2,000, and 1,000 of which each token is read alone. */
export async function measureStreams(bench: Bench): Promise<Figures> {
  const { tools, priority, upstreamPort, rounds, seconds, note } = bench
  const thousand = loadsOf(seconds).find(({ name }) => name === '1000')!
  const twice: Load = { ...thousand, name: '2000', connections: 2_000 }
  const alone = sluiceIn(ROOT, 'Sluice without gathering', [], 'stream: { gather: off }\n')
  const figures: Figures = new Map()
  for (let round = 1; round <= rounds; round++) {
    const us: number[] = []
    for (const [target, load] of [
      [sluice, thousand],
      [sluice, twice],
      [alone, thousand],
    ] as const) {
      const running = await target.start(upstreamPort, priority)
      try {
        await warmUp(tools, priority, running)
        us.push((await put(tools, priority, running, load)).usPerToken)
      } finally {
        await running.stop()
      }
    }
    push(figures, '2,000 streams: token beside 1,000', us[1] / us[0])
    push(figures, 'ungathered token µs', us[2])
    note(`round ${round}: ${us.map((each) => each.toFixed(1)).join(', ')} µs a token at 1,000, at 2,000, ungathered`)
  }
  return figures
}

const BATCH = 10_000
const MOST_FILL_MS = 10 * 60_000
const KEPT = 'retention: { logs: 7d, bytes: 64GiB }\n'

/** Two servers in turn, of which one has so many ended jobs. */
export async function measureStored(bench: Bench, stored: number): Promise<Figures> {
  const { tools, priority, upstreamPort, rounds, seconds, note } = bench
  const target = sluiceIn(ROOT, 'Sluice', [], KEPT)
  const full = await target.start(upstreamPort, priority)
  const empty = await target.start(upstreamPort, priority)
  const figures: Figures = new Map()
  try {
    const until = performance.now() + MOST_FILL_MS
    for (let done = 0; done < stored; done += BATCH) {
      if (performance.now() > until) {
        note(`${done.toLocaleString('en')} jobs after ${MOST_FILL_MS / 60_000} minutes: it is measured with these`)
        break
      }
      const perS = await jobsPerSecond(full, Math.min(BATCH, stored - done))
      if (done % (10 * BATCH) === 0) note(`${done.toLocaleString('en')} jobs stored, ${perS.toFixed(0)}/s`)
    }
    const loads = loadsOf(seconds)
    const [json, hundred] = ['json', '100'].map((name) => loads.find((load) => load.name === name)!)
    const measure = async (running: Running) => ({
      call: (await put(tools, priority, running, json)).usPerRequest,
      token: (await put(tools, priority, running, hundred)).usPerToken,
      'accept p50': (await submitLatency(running, priority, 500, Math.max(2, seconds))).p50,
    })
    for (const running of [empty, full]) await warmUp(tools, priority, running)
    for (let round = 1; round <= rounds; round++) {
      const [first, second] = round % 2 === 1 ? [empty, full] : [full, empty]
      const found = new Map([[first, await measure(first)] as const, [second, await measure(second)] as const])
      const [without, having] = [found.get(empty)!, found.get(full)!]
      for (const name of ['call', 'token', 'accept p50'] as const)
        push(figures, `full beside empty: ${name}`, having[name] / without[name])
      note(`round ${round}: empty ${JSON.stringify(without)}, with stored jobs ${JSON.stringify(having)}`)
    }
  } finally {
    await Promise.all([full.stop(), empty.stop()])
  }
  return figures
}
