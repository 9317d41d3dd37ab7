/** What is used of limits, as rows: read once at the start, then written as the coordinator tells of changes. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Clock } from '../../../core/clock.ts'
import type { TenantId } from '../../../core/job.ts'
import type { LevelKind, LevelState, LevelUse, Window } from '../../../core/limits.ts'
import type { Coordinator } from '../../../core/ports/coordinator.ts'
import { BudgetWindows, type OpenWindow } from '../../shared/calendar.ts'
import type { Age } from '../disk/age.ts'

/** Levels that are read, or restored, in one turn of the event loop: 2 ms or so. */
const ROWS_AT_ONCE = 1_000

export interface LevelRow {
  readonly kind: LevelState['kind']
  readonly owner: string
  readonly name: string
  readonly age: number
  readonly used: string
}

/** Levels that belong to a tenant. */
const OWNED: readonly LevelKind[] = ['run', 'key', 'user', 'tenant_model']
export const WINDOWS: readonly Window[] = ['hour', 'day', 'month']
type Windows = Partial<Record<Window, OpenWindow>>
type Used = Omit<LevelUse, 'atMono'>

export class LevelRows {
  readonly #db: DatabaseSync
  readonly #age: Age
  readonly #clock: Clock
  readonly #put: StatementSync
  readonly #delete: StatementSync
  readonly #noteWindows: StatementSync
  #windows: BudgetWindows | null = null
  /** Turns of the windows that are committed. */
  #notedTurns = 0

  constructor(db: DatabaseSync, age: Age, clock: Clock) {
    this.#db = db
    this.#age = age
    this.#clock = clock
    this.#put = db.prepare(`INSERT INTO levels VALUES (?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET age = excluded.age, used = excluded.used`)
    this.#delete = db.prepare('DELETE FROM levels WHERE kind = ? AND owner = ? AND name = ?')
    this.#noteWindows = db.prepare("INSERT OR REPLACE INTO meta VALUES ('windows', ?)")
  }

  /** Gives the coordinator all that is stored. `damaged`: a row is left out. */
  async restore(coordinator: Pick<Coordinator, 'openLimits'>, damaged: (detail: string) => void): Promise<void> {
    const open = windowsIn(this.#db, damaged)
    const states: LevelState[] = []
    const next = this.#db.prepare(`SELECT * FROM levels WHERE (kind, owner, name) > (?, ?, ?)
      ORDER BY kind, owner, name LIMIT ${ROWS_AT_ONCE}`)
    for (let after = ['', '', '']; ; ) {
      const rows = next.all(...after) as unknown as LevelRow[]
      for (const row of rows) {
        const { kind, owner, name } = row
        after = [kind, owner, name]
        const used = usedOf(row, damaged)
        if (used === null) continue
        states.push({ kind, owner, name, used: { ...used, atMono: this.#age.mono(row.age) } })
        reach(open, used)
      }
      if (rows.length < ROWS_AT_ONCE) break
      await this.#turned()
    }
    const wallAt = (mono: number): number => this.#clock.wallMs() + mono - this.#clock.monoMs()
    const windows = new BudgetWindows((mono) => this.#age.of(mono), wallAt, open)
    this.#windows = windows
    for (let at = 0; at === 0 || at < states.length; at += ROWS_AT_ONCE) {
      coordinator.openLimits(states.slice(at, at + ROWS_AT_ONCE), windows.calendar, this.#clock.monoMs())
      if (at + ROWS_AT_ONCE < states.length) await this.#turned()
    }
  }

  #turned(): Promise<void> {
    return new Promise((turned) => this.#clock.soon(turned))
  }

  // ------------------------------------------------------------ inside a transaction

  write(states: readonly LevelState[]): void {
    for (const { kind, owner, name, used } of states)
      if (used === null) this.#delete.run(kind, owner, name)
      else {
        const { atMono, ...amounts } = used
        this.#put.run(kind, owner, name, this.#age.of(atMono), JSON.stringify(amounts))
      }
    const windows = this.#windows
    if (windows !== null && windows.turns > this.#notedTurns) this.#noteWindows.run(JSON.stringify(windows.open))
  }

  committed(): void {
    this.#notedTurns = this.#windows?.turns ?? 0
  }

  /** Some of a tenant's; false: there are no more. */
  removeSome(tenant: TenantId): boolean {
    const remove = this.#db.prepare(`DELETE FROM levels WHERE kind = ?1 AND owner = ?2 AND name IN
      (SELECT name FROM levels WHERE kind = ?1 AND owner = ?2 LIMIT ${ROWS_AT_ONCE / 2})`)
    for (const kind of OWNED) if (Number(remove.run(kind, tenant).changes) > 0) return true
    this.#delete.run('tenant', '', tenant)
    return false
  }
}

/** As they were stored. */
export function windowsIn(db: DatabaseSync, damaged: (detail: string) => void): Windows {
  const row = db.prepare("SELECT value FROM meta WHERE key = 'windows'").get() as { value: string } | undefined
  try {
    const open = row === undefined ? {} : (JSON.parse(row.value) as Windows)
    return Object.fromEntries(WINDOWS.flatMap((name) => (isWindow(open[name]) ? [[name, open[name]]] : [])))
  } catch {
    damaged('When the windows of budgets end is damaged: they end as the calendar says.')
    return {}
  }
}

const isWindow = (one: OpenWindow | undefined): boolean =>
  typeof one?.index === 'number' && typeof one.ends === 'number'

/** Null: it is damaged, which is told. */
export function usedOf({ kind, name, used }: LevelRow, damaged: (detail: string) => void): Used | null {
  try {
    const { rates, spent, velocity, totals } = JSON.parse(used) as Used
    if (typeof rates === 'object' && typeof spent === 'object' && rates !== null && spent !== null)
      return { rates, spent, ...(velocity !== undefined && { velocity }), ...(totals !== undefined && { totals }) }
  } catch {
    // Below
  }
  damaged(`What was used of the limits of ${kind} "${name}" is damaged: it counts from nothing.`)
  return null
}

/** Whatever clock they were named by: the window that is open is none before one that something was spent in. */
function reach(open: Windows, { spent }: Used): void {
  for (const window of Object.keys(spent) as Window[]) {
    const { index } = spent[window]!
    const known = open[window]
    if (known === undefined) open[window] = { index: index - 1, ends: -Infinity }
    else if (known.ends === -Infinity) open[window] = { index: Math.max(known.index, index - 1), ends: -Infinity }
    else if (known.index < index) open[window] = { index, ends: known.ends }
  }
}
