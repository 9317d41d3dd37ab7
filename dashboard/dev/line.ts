/** A made-up line that moves: tenants with jobs that wait, run and end. */
import type { Block, Line, LineRow, RowKind } from '../../src/core/live.ts'
import { type Dice, dice } from './dice.ts'

interface Job {
  readonly job: string
  readonly prompt: number
  readonly answer: number
  made: number
}

interface Tenant {
  readonly name: string
  readonly weight: number
  readonly prompt: readonly [number, number]
  readonly answer: readonly [number, number]
  /** Jobs a second. */
  readonly rate: number
  readonly backlog: number
  readonly waits: Job[]
  readonly runs: Job[]
  served: number
  perSecond: number
}

const tenant = (
  name: string,
  weight: number,
  prompt: [number, number],
  answer: [number, number],
  rate: number,
  backlog: number,
): Tenant => ({
  name,
  weight,
  prompt,
  answer,
  rate,
  backlog,
  waits: [],
  runs: [],
  served: 0,
  perSecond: 0,
})

const SOME = (): Tenant[] => [
  tenant('acme', 2, [300, 1_400], [250, 900], 0.9, 7),
  tenant('docs-batch', 1, [6_000, 9_000], [500, 1_500], 0.15, 41),
  tenant('tutor', 3, [200, 600], [200, 500], 1.9, 11),
  tenant('review-bot', 1, [1_800, 3_200], [500, 900], 0.3, 3),
  tenant('support', 1, [250, 700], [250, 500], 0.6, 2),
]

/** The first eight have as much as a row can show. */
const MANY = (): Tenant[] =>
  Array.from({ length: 300 }, (_, at) => {
    const name = `tenant-${String(at).padStart(3, '0')}`
    return at < 8
      ? tenant(name, 40, [100, 300], [700, 1_300], 3, 90)
      : tenant(name, 1 + (at % 4), [200, 4_000], [60, 400], 0.02, 4)
  })

/** `late`: 24 slots for what would take 48; `well`: nobody waits long; `load`: 300 tenants, 2,000 jobs, 20 leases/s. */
export type LineKind = 'late' | 'well' | 'load'

export class MadeUpLine {
  readonly #dice: Dice = dice(7)
  readonly #tenants: Tenant[]
  readonly #slots: number
  readonly #leasesPerSecond: number
  #ids = 0
  #due = 0

  constructor(kind: LineKind) {
    this.#tenants = kind === 'load' ? MANY() : SOME()
    this.#slots = kind === 'late' ? 24 : kind === 'well' ? 48 : 900
    this.#leasesPerSecond = kind === 'load' ? 20 : 4
    for (const one of this.#tenants)
      for (let left = kind === 'well' ? Math.min(one.backlog, 2) : one.backlog; left > 0; left--)
        one.waits.push(this.#job(one))
    for (let at = 0; at < (kind === 'load' ? 480 : 23); at++) this.#lease()
    if (kind === 'load')
      for (const one of this.#tenants.slice(0, 8)) while (one.runs.length < 60) one.runs.push(this.#job(one))
    for (const one of this.#tenants) for (const job of one.runs) job.made = Math.floor(job.answer * this.#dice())
  }

  /** `ms` later. */
  step(ms: number): void {
    for (const one of this.#tenants) {
      if (this.#dice() < (one.rate * ms) / 1_000 && one.waits.length < one.backlog * 1.3 + 2)
        one.waits.push(this.#job(one))
      let made = 0
      for (const job of one.runs) {
        const more = Math.round((ms / 1_000) * (25 + 30 * this.#dice()))
        job.made += more
        made += more
      }
      one.perSecond = one.perSecond * 0.9 + (made / ms) * 100
      one.served = one.served * 0.999 + made
      for (let at = one.runs.length - 1; at >= 0; at--)
        if (one.runs[at].made >= one.runs[at].answer) one.runs.splice(at, 1)
    }
    this.#due += (this.#leasesPerSecond * ms) / 1_000
    while (this.#due >= 1) {
      this.#due -= 1
      this.#lease()
    }
  }

  line(rows: RowKind, atMs: number): Line {
    const isWaiting = this.#tenants.filter(({ waits }) => waits.length > 0)
    const served = this.#tenants.reduce((sum, one) => sum + one.served, 0) || 1
    const weights = isWaiting.reduce((sum, { weight }) => sum + weight, 0) || 1
    const names: Readonly<Record<RowKind, readonly string[]>> = {
      tenant: [],
      model: ['chat', 'review', 'embed', 'demo', 'tools'],
      deployment: ['vllm-a', 'vllm-b', 'openai-eu', 'ollama', 'bedrock'],
    }
    const all = this.#tenants.filter(({ waits, runs }) => waits.length + runs.length > 0)
    const top = [...all]
      .sort((a, b) => b.waits.length + b.runs.length - (a.waits.length + a.runs.length))
      .slice(0, 8)
      .sort((a, b) => this.#tenants.indexOf(a) - this.#tenants.indexOf(b))
    const tokensOf = (jobs: readonly Job[]): number => jobs.reduce((sum, { prompt }) => sum + prompt, 0)
    const next = this.#next()
    const nameOf = (one: Tenant): string => names[rows][this.#tenants.indexOf(one)] ?? one.name
    return {
      atMs,
      rows,
      top: top.map(
        (one): LineRow => ({
          name: nameOf(one),
          weight: rows === 'tenant' ? one.weight : null,
          waiting: {
            jobs: one.waits.length,
            tokens: tokensOf(one.waits),
            nextInMs: one.waits.length > 0 ? 400 + one.prompt[1] / 2.5 : null,
          },
          waits: one.waits.slice(0, 40).map(block),
          runs: one.runs.slice(0, 60).map(block),
          running: one.runs.length,
          share: one.served / served,
          due: one.waits.length > 0 ? one.weight / weights : null,
          tokensPerSecond: one.perSecond * 10,
        }),
      ),
      others: {
        rows: Math.max(0, all.length - top.length),
        waiting: all.filter((one) => !top.includes(one)).reduce((sum, { waits }) => sum + waits.length, 0),
        running: all.filter((one) => !top.includes(one)).reduce((sum, { runs }) => sum + runs.length, 0),
        idle: 23,
      },
      waiting: {
        jobs: isWaiting.reduce((sum, { waits }) => sum + waits.length, 0),
        tokens: isWaiting.reduce((sum, { waits }) => sum + tokensOf(waits), 0),
      },
      running: this.#running(),
      slots: this.#slots,
      next: next === undefined ? null : nameOf(next),
    }
  }

  #running = (): number => this.#tenants.reduce((sum, { runs }) => sum + runs.length, 0)

  #job({ prompt, answer }: Tenant): Job {
    const within = ([low, high]: readonly [number, number]): number => Math.round(low + (high - low) * this.#dice())
    return {
      job: `job_${String(++this.#ids).padStart(6, '0')}`,
      prompt: within(prompt),
      answer: within(answer),
      made: 0,
    }
  }

  #next(): Tenant | undefined {
    return this.#tenants
      .filter(({ waits }) => waits.length > 0)
      .sort((a, b) => a.served / a.weight - b.served / b.weight)[0]
  }

  #lease(): void {
    if (this.#running() >= this.#slots) return
    const next = this.#next()
    const job = next?.waits.shift()
    if (next === undefined || job === undefined) return
    next.runs.push(job)
    next.served += job.prompt / 10
  }
}

const block = ({ job, prompt, answer, made }: Job): Block => ({
  job,
  promptTokens: prompt,
  madeTokens: made,
  boundTokens: Math.round(prompt + answer * 1.3),
})
