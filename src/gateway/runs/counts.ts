/**
 * How many runs a tenant has, and each user of its pages, counted by the day on which they will be forgotten, so that
 * nobody has to look through them. A process that dies between the count and its run leaves it one too high until then.
 */
import { hash } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Documents, NewDocument } from '../../core/ports/documents.ts'

const DAY_MS = 86_400_000
/** Other processes change it meanwhile. */
const TRIES = 50

/** Null: all of the tenant's. */
type Owner = string | null

interface Change {
  /** Days since 1970 (UTC) on which a run is forgotten: one less there, and one more. */
  readonly less: number | null
  readonly more: number | null
  /** One more is refused where there are so many. */
  readonly most: number
  readonly done: (isMade: boolean) => void
  readonly failed: (error: unknown) => void
}

type Days = Readonly<Record<string, number>>

export class RunCounts {
  readonly #documents: Documents
  readonly #clock: Pick<Clock, 'wallMs'>
  /** By document: all that wait while one is being stored are stored at once. */
  readonly #waiting = new Map<string, Change[]>()

  constructor(documents: Documents, clock: Pick<Clock, 'wallMs'>) {
    this.#documents = documents
    this.#clock = clock
  }

  /** False: there are `most`, or more. Rejects with overloaded, and as Documents.put does. */
  take(tenant: string, owner: Owner, expiresAtMs: number, most: number): Promise<boolean> {
    return this.#change(tenant, owner, { less: null, more: dayOf(expiresAtMs), most })
  }

  /** One that was taken did not begin. */
  async giveBack(tenant: string, owner: Owner, expiresAtMs: number): Promise<void> {
    await this.#change(tenant, owner, { less: dayOf(expiresAtMs), more: null, most: Infinity })
  }

  /** It is kept for longer. */
  async move(tenant: string, owner: Owner, fromMs: number, toMs: number): Promise<void> {
    await this.#change(tenant, owner, { less: dayOf(fromMs), more: dayOf(toMs), most: Infinity })
  }

  #change(tenant: string, owner: Owner, change: Omit<Change, 'done' | 'failed'>): Promise<boolean> {
    const id = `runs_${hash('sha256', owner === null ? tenant : `${tenant}\n${owner}`, 'hex')}`
    return new Promise((done, failed) => {
      const waiting = this.#waiting.get(id)
      const all = waiting ?? []
      all.push({ ...change, done, failed })
      if (waiting !== undefined) return
      this.#waiting.set(id, all)
      void this.#work(tenant, id, all)
    })
  }

  async #work(tenant: string, id: string, all: Change[]): Promise<void> {
    while (all.length > 0) {
      const changes = all.splice(0)
      try {
        const isMade = await this.#store(tenant, id, changes)
        for (const [n, { done }] of changes.entries()) done(isMade[n]!)
      } catch (error) {
        for (const { failed } of changes) failed(error)
      }
    }
    this.#waiting.delete(id)
  }

  async #store(tenant: string, id: string, changes: readonly Change[]): Promise<readonly boolean[]> {
    for (let i = 0; i < TRIES; i++) {
      const document = await this.#documents.get('run_count', id)
      const today = dayOf(this.#clock.wallMs())
      const { days, isMade } = counted((document?.body ?? {}) as Days, today, changes)
      if (!isMade.includes(true)) return isMade
      const last = Math.max(today, ...Object.keys(days).map(Number))
      const next: NewDocument = {
        ...{ kind: 'run_count', id, tenant, body: days },
        ...{ dueAtMs: null, expiresAtMs: (last + 1) * DAY_MS },
      }
      if ((await this.#documents.put(next, document?.version ?? 0)) !== null) return isMade
    }
    throw new SluiceError('overloaded')
  }
}

const dayOf = (ms: number): number => Math.floor(ms / DAY_MS)

function counted(
  before: Days,
  today: number,
  changes: ReadonlyArray<Pick<Change, 'less' | 'more' | 'most'>>,
): { readonly days: Record<string, number>; readonly isMade: readonly boolean[] } {
  const days = Object.fromEntries(Object.entries(before).filter(([day]) => Number(day) >= today))
  let sum = Object.values(days).reduce((a, b) => a + b, 0)
  const isMade = changes.map(({ less, more, most }) => {
    if (more !== null && sum >= most) return false
    // One that began before runs were counted is in no day
    if (less !== null && (days[less] ?? 0) > 0) {
      days[less]!--
      sum--
    }
    if (more !== null) {
      days[more] = (days[more] ?? 0) + 1
      sum++
    }
    return true
  })
  return { days, isMade }
}
