/**
 * What is kept of ended jobs, and for how long: by age, by the bytes that all take, and, where a tenant keeps nothing,
 * until the last reader has gone. One process sweeps, the one that coordinates; two that believe so do no harm. Steps
 * are small: Redis serves nobody else meanwhile.
 */
import { sleep } from '../../../core/clock.ts'
import type { JobId, TenantId } from '../../../core/job.ts'
import { type Counter, counter } from '../../../core/numbers.ts'
import type { JobRetention } from '../../shared/retention.ts'
import type { Ground } from '../bus/ground.ts'
import { following } from '../client/stream-id.ts'
import { readEnded } from '../protocol/rows.ts'
import { recordedAtMs } from '../protocol/usage.ts'
import { type Removable, removableOf, removeJobs } from './removal.ts'

const SWEEP_MS = 10_000
/** Is Redis short of memory? */
const LOOK_MS = 1_000
const LEAVING_MS = 500
const PUT_OFF_MS = 3_000
const LISTS_AT_ONCE = 200
const NONE: ReadonlySet<JobId> = new Set()
const STEP_PAUSE_MS = 10
const TENANTS_AT_ONCE = 200
const JOBS_AT_ONCE = 100
/** Whatever was stored before has been taken by then, or never will be: see submissions.ts. */
const TAKEN_MS = 30_000
const IDS_AT_ONCE = 1_000
const DOCUMENTS_AT_ONCE = 100
const ENTRIES_AT_ONCE = 256
/** Records of usage never take more of Redis's memory. */
const USAGE_SHARE = 0.1

type Pass = 'requests' | 'jobs' | 'leaving' | 'usage' | 'documents'
type Parts = Pick<Ground, 'names' | 'scripts' | 'commands' | 'room' | 'clock' | 'time'>

export class Sweep {
  readonly removed: Counter = counter('removed_jobs', 'Jobs that were removed at the end of their retention')
  readonly #parts: Parts
  readonly #retention: JobRetention
  #stops: ReadonlyArray<() => void> = []
  readonly #underWay = new Set<Pass>()

  constructor(parts: Parts, retention: JobRetention) {
    this.#parts = parts
    this.#retention = retention
  }

  start(): void {
    const { clock } = this.#parts
    this.stop()
    this.#stops = [
      clock.every(SWEEP_MS, () => void this.sweep()),
      clock.every(LOOK_MS, () => this.#parts.room.excessBytes > 0 && void this.sweep()),
      clock.every(LEAVING_MS, () => void this.#once('leaving', () => this.#seeOff())),
    ]
  }

  stop(): void {
    for (const stop of this.#stops) stop()
    this.#stops = []
  }

  /** One pass over all tenants. */
  async sweep(): Promise<void> {
    await Promise.all([
      this.#once('requests', () => this.#sweepRequests()),
      this.#once('jobs', () => this.#sweepJobs()),
      this.#once('usage', () => this.#sweepUsage()),
      this.#once('documents', () => this.#sweepDocuments()),
    ])
  }

  /** Unless it is under way. */
  async #once(what: Pass, pass: () => Promise<void>): Promise<void> {
    if (this.#underWay.has(what)) return
    this.#underWay.add(what)
    try {
      await pass()
    } catch {
      // Redis is away, which health shows; the next pass continues
    } finally {
      this.#underWay.delete(what)
    }
  }

  async #sweepJobs(): Promise<void> {
    await this.#parts.scripts.run('jobs-file', [])
    const awaited = await this.#awaited()
    await this.#sweepBytes(await this.#sweepAges(awaited), awaited)
  }

  /** What jobs that have not ended come after, and may ask the answer of: it is kept until they have. */
  async #awaited(): Promise<ReadonlySet<JobId>> {
    const { scripts, clock } = this.#parts
    const awaited = new Set<JobId>()
    for (let cursor = '0'; ; await sleep(clock, STEP_PAUSE_MS)) {
      const [next, ...lists] = (await scripts.run('jobs-awaited', [cursor, LISTS_AT_ONCE])) as readonly string[]
      for (const list of lists) for (const id of list.split(' ')) awaited.add(id)
      cursor = next!
      if (cursor === '0' || !this.#isRunning) return awaited
    }
  }

  // ------------------------------------------------------------ never taken

  /** Requests whose submit was lost with its process, or was none that the coordinator could read. */
  async #sweepRequests(): Promise<void> {
    const { clock, scripts, time } = this.#parts
    const until = Math.floor(time.nowMs() - TAKEN_MS)
    while (this.#isRunning && (await scripts.run('submit-left', [until, IDS_AT_ONCE])) === 1)
      await sleep(clock, STEP_PAUSE_MS)
  }

  // ------------------------------------------------------------ age

  /** What each tenant's jobs take, before what is too old has gone. */
  async #sweepAges(awaited: ReadonlySet<JobId>): Promise<Map<TenantId, number>> {
    const { commands, names } = this.#parts
    const totals = new Map<TenantId, number>()
    let cursor = '0'
    do {
      const [next, pairs] = await commands.client.hscan(names.bytes(), cursor, 'COUNT', TENANTS_AT_ONCE)
      const tenants: TenantId[] = []
      for (let i = 0; i < pairs.length; i += 2) {
        tenants.push(pairs[i])
        totals.set(pairs[i], Number(pairs[i + 1]))
      }
      await this.#sweepTenants(tenants, awaited)
      cursor = next
    } while (cursor !== '0' && this.#isRunning)
    return totals
  }

  async #sweepTenants(tenants: readonly TenantId[], awaited: ReadonlySet<JobId>): Promise<void> {
    const { scripts, time } = this.#parts
    for (let from = 0; from < tenants.length; from += TENANTS_AT_ONCE) {
      const now = time.nowMs()
      const stay = new Map<TenantId, number>()
      const untilMs = new Map<TenantId, number>()
      for (const tenant of tenants.slice(from, from + TENANTS_AT_ONCE)) {
        const keptMs = this.#retention.tenant(tenant)?.logsMs ?? this.#retention.logsMs
        if (keptMs !== Infinity) untilMs.set(tenant, now - keptMs)
      }
      for (let first = ''; untilMs.size > 0 && this.#isRunning; ) {
        const args = [...untilMs].flatMap(([tenant, until]) => [tenant, until, stay.get(tenant) ?? 0])
        const found = (await scripts.run('jobs-due', args)) as readonly string[]
        const due: string[] = []
        for (let i = 0; i < found.length; i += 2) {
          const [tenant, member] = [found[i]!, found[i + 1]!]
          if (awaited.has(idOf(member))) stay.set(tenant, (stay.get(tenant) ?? 0) + 1)
          else due.push(tenant, member)
        }
        // The same again: it can't be removed
        if (found.length === 0 || (due.length > 0 && due[1] === first)) break
        first = due[1] ?? ''
        if (due.length > 0) await this.#remove(due)
      }
    }
  }

  // ------------------------------------------------------------ bytes

  /**
   * What is above the limit, or what Redis has no room for. From the tenant that takes most, and from none that takes
   * less than its share: nobody's work evicts another's.
   */
  async #sweepBytes(totals: Map<TenantId, number>, awaited: ReadonlySet<JobId>): Promise<void> {
    const { commands, names, room, time } = this.#parts
    let total = 0
    for (const bytes of totals.values()) total += bytes
    let excess = Math.max(total - this.#retention.bytes, room.excessBytes)
    const share = Math.max(0, total - excess) / totals.size
    const until = time.nowMs() - this.#retention.atLeastMs
    const stay = new Map<TenantId, number>()
    while (excess > 0 && totals.size > 0 && this.#isRunning) {
      const tenant = largest(totals)
      if (totals.get(tenant)! <= share) return
      const ends = names.ends(tenant)
      const from = stay.get(tenant) ?? 0
      const members = await commands.client.zrangebyscore(ends, '-inf', until, 'LIMIT', from, JOBS_AT_ONCE)
      const due: string[] = []
      for (const member of members) {
        if (excess <= 0) break
        if (awaited.has(idOf(member))) {
          stay.set(tenant, (stay.get(tenant) ?? 0) + 1)
          continue
        }
        const bytes = bytesOf(member)
        due.push(tenant, member)
        excess -= bytes
        totals.set(tenant, totals.get(tenant)! - bytes)
      }
      if (due.length > 0) await this.#remove(due)
      // The rest of it is too recent
      if (members.length < JOBS_AT_ONCE) totals.delete(tenant)
    }
  }

  // ------------------------------------------------------------ records of usage

  async #sweepUsage(): Promise<void> {
    const { commands, names, clock, time, room } = this.#parts
    const { usageMs, usageBytes } = this.#retention
    const key = names.usageRecords()
    while (usageMs < Infinity && this.#isRunning) {
      const entries = await commands.client.xrange(key, '-', '+', 'COUNT', ENTRIES_AT_ONCE)
      const untilMs = time.nowMs() - usageMs
      const kept = entries.findIndex(([, [, value]]) => recordedAtMs(value) >= untilMs)
      const [last] = entries.at(kept < 0 ? -1 : kept) ?? []
      if (last === undefined || kept === 0) break
      await commands.client.xtrim(key, 'MINID', kept < 0 ? following(last) : last)
      if (kept > 0) break
      await sleep(clock, STEP_PAUSE_MS)
    }
    const [bytes, length] = await Promise.all([commands.client.memory('USAGE', key), commands.client.xlen(key)])
    const most = Math.min(usageBytes, USAGE_SHARE * room.maxBytes)
    const keeps = Math.floor((length * most) / (bytes ?? 0))
    for (let left = length; left > keeps && this.#isRunning; await sleep(clock, STEP_PAUSE_MS)) {
      left = Math.max(keeps, left - IDS_AT_ONCE)
      await commands.client.xtrim(key, 'MAXLEN', left)
    }
  }

  // ------------------------------------------------------------ documents

  async #sweepDocuments(): Promise<void> {
    const { scripts, clock, time } = this.#parts
    const gone = async (): Promise<unknown> =>
      scripts.run('documents-expire', [Math.floor(time.nowMs()), DOCUMENTS_AT_ONCE])
    while (this.#isRunning && (await gone()) === DOCUMENTS_AT_ONCE) await sleep(clock, STEP_PAUSE_MS)
  }

  // ------------------------------------------------------------ nothing kept

  /** Those that no gateway reads any longer: see LeavingJobs. */
  async #seeOff(): Promise<void> {
    const { commands, names, scripts, time } = this.#parts
    for (let some = JOBS_AT_ONCE; some === JOBS_AT_ONCE && this.#isRunning; ) {
      const ids = await commands.client.zrangebyscore(names.leaving(), '-inf', time.nowMs(), 'LIMIT', 0, JOBS_AT_ONCE)
      const awaited = ids.length === 0 ? NONE : await this.#awaited()
      await this.#removeIds(ids.filter((id) => !awaited.has(id)))
      const stay = ids.filter((id) => awaited.has(id))
      if (stay.length > 0) await scripts.run('leaving', [time.nowMs() + PUT_OFF_MS, ...stay])
      some = ids.length
    }
  }

  // ------------------------------------------------------------ removal

  get #isRunning(): boolean {
    return this.#stops.length > 0
  }

  /** `due`: tenants and members of their ends. */
  async #remove(due: readonly string[]): Promise<void> {
    const gone: Removable[] = []
    for (let i = 0; i < due.length; i += 2) {
      const [tenant, member] = [due[i], due[i + 1]]
      gone.push({ id: idOf(member), tenant, bytes: bytesOf(member), key: '', conversation: null, run: '' })
    }
    await this.#removeAll(gone)
    await sleep(this.#parts.clock, STEP_PAUSE_MS)
  }

  async #removeIds(ids: readonly JobId[]): Promise<void> {
    if (ids.length === 0) return
    await this.#removeAll(ids.map((id) => ({ id, tenant: '', bytes: 0, key: '', conversation: null, run: '' })))
  }

  /** What the row of each tells of it wins. */
  async #removeAll(jobs: readonly Removable[]): Promise<void> {
    const { commands, names, scripts } = this.#parts
    const rows = await commands.client.mget(jobs.map(({ id }) => names.row(id)))
    const known = jobs.map((job, i) => {
      const row = rows[i] === null ? null : readEnded(rows[i]!)
      return row === null ? job : removableOf(names, row)
    })
    this.removed.add(await removeJobs(scripts, known))
  }
}

const idOf = (member: string): JobId => member.slice(0, member.indexOf(':'))
const bytesOf = (member: string): number => Number(member.slice(member.indexOf(':') + 1))

const largest = (totals: ReadonlyMap<TenantId, number>): TenantId =>
  [...totals.keys()].reduce((most, tenant) => (totals.get(tenant)! > totals.get(most)! ? tenant : most))
