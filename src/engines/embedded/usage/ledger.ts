/**
 * Usage as rows: a record for each attempt, and sums by day, tenant, key, user and model, in one upsert a group and
 * commit. Reads go a few hundred rows at a time and let the event loop turn in between.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Clock } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { TenantId } from '../../../core/job.ts'
import type { Ledger, LedgerPage, StoredUsage, UsageFilter, UsageSum } from '../../../core/ports/ledger.ts'
import type { UsageRecord } from '../../../core/usage-record.ts'
import { dayOf } from '../../shared/calendar.ts'
import { SUM_COLUMNS, type SumKey, type SumRow, storedUser, sumOf, UsageSums } from './sums.ts'

/** Rows that are read in one turn of the event loop: a millisecond or two. */
const ROWS_A_STEP = 500
/** Records that are looked at in one turn, and for one page: those that don't match are not even read. */
const RECORDS_A_STEP = 5_000
const RECORDS_A_PAGE = 200_000
/** Rows of sums that one page looks at: with a filter that fits few, it ends before it is full. */
const ROWS_A_PAGE = 20_000
/** Greatest sum that is told: more is no exact number. */
const MOST = Number.MAX_SAFE_INTEGER
/** Before and after all days. */
const FIRST_DAY = ''
const LAST_DAY = '~'

type Value = string | number | null

export interface RecordRow {
  readonly n: number
  readonly at: number
  readonly tenant: string
  readonly key: string
  readonly user: string | null
  readonly model: string
  readonly facts: string
}

const RECORD_COLUMNS = 'n, at, tenant, key, user, model, facts'

export class UsageRows implements Ledger {
  readonly #db: DatabaseSync
  readonly #clock: Clock
  readonly #insert: StatementSync
  readonly #sums: UsageSums
  readonly #begin: StatementSync
  readonly #note: StatementSync
  /** Number of the last record that is committed. */
  #last: number
  /** Its day. */
  #run: string
  #newRun = ''
  /** Of the last record, committed or not. */
  #day = ''
  #dayNumber = -1

  /** `mostSums`: as UsageSums takes it. */
  constructor(db: DatabaseSync, clock: Clock, mostSums?: number) {
    this.#db = db
    this.#clock = clock
    this.#sums = new UsageSums(db, mostSums)
    this.#insert = db.prepare('INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
    this.#begin = db.prepare('INSERT INTO usage_runs VALUES (?, ?)')
    this.#note = db.prepare("INSERT OR REPLACE INTO meta VALUES ('usage', ?)")
    // A number is not given again when the last records are erased: who exports goes on after it
    const { last } = db
      .prepare(
        `SELECT max(ifnull((SELECT max(n) FROM usage), 0),
          ifnull((SELECT value FROM meta WHERE key = 'usage'), 0) + 0) AS last`,
      )
      .get() as { last: number }
    this.#last = last
    this.#run = this.#all<{ day: string }>('SELECT day FROM usage_runs ORDER BY n DESC LIMIT 1', [])[0]?.day ?? ''
  }

  // ------------------------------------------------------------ inside the transaction of an attempt's end

  /** May run again, should the transaction fail; `committed` follows where it did not. */
  insert(records: readonly StoredUsage[], age: number): void {
    this.#sums.open()
    let n = this.#last
    this.#newRun = this.#run
    const sums = new Map<string, number[]>()
    const keys: SumKey[] = []
    for (const { atMs, tenant, keyId, user, model, ...facts } of records) {
      const day = this.#dayOf(atMs)
      n++
      if (day !== this.#newRun) this.#begin.run(n, day)
      this.#newRun = day
      this.#insert.run(n, atMs, age, tenant, keyId, user, model, JSON.stringify(facts))
      const { usage, nanoDollars, source } = facts
      const amounts = [
        1,
        source === undefined ? 0 : 1,
        usage.estimated ? 1 : 0,
        nanoDollars === null ? 1 : 0,
        usage.promptTokens,
        usage.cachedTokens ?? 0,
        usage.completionTokens,
        usage.reasoningTokens ?? 0,
        nanoDollars ?? 0,
      ]
      // Users and models are clients' own words
      const group = records.length === 1 ? '' : `${day} ${tenant} ${keyId} ${model.length} ${model} ${user ?? ''}`
      const sum = sums.get(group)
      if (sum !== undefined) for (let i = 0; i < sum.length; i++) sum[i] += amounts[i]
      else {
        sums.set(group, amounts)
        keys.push([day, tenant, keyId, storedUser(user), model])
      }
    }
    let i = 0
    for (const amounts of sums.values()) this.#sums.add(keys[i++], amounts)
  }

  committed(records: number): void {
    this.#sums.committed()
    this.#last += records
    this.#run = this.#newRun
  }

  #dayOf(atMs: number): string {
    const number = Math.floor(atMs / 86_400_000)
    if (number !== this.#dayNumber) {
      this.#dayNumber = number
      this.#day = dayOf(atMs)
    }
    return this.#day
  }

  // ------------------------------------------------------------ sums

  async sums(filter: UsageFilter, after: string | null, most: number): Promise<LedgerPage<UsageSum>> {
    const from = filter.fromDay ?? FIRST_DAY
    const begun = after === null ? null : sumCursor(after)
    let at: SumKey = begun !== null && begun[0] >= from ? begun : [from, '', '', '', '']
    const items: UsageSum[] = []
    for (let looked = 0; ; ) {
      const rows = filter.tenant === undefined ? this.#sumsAfter(at, filter) : this.#sumsOf(filter.tenant, at, filter)
      for (const row of rows) {
        at = keyOf(row)
        const sum = sumOf(row)
        if (!fits(filter, sum)) continue
        items.push(sum)
        if (items.length >= most) return { items, next: cursorOf(at) }
      }
      looked += rows.length
      if (rows.length === 0) return { items, next: null }
      if (looked >= ROWS_A_PAGE) return { items, next: cursorOf(at) }
      await this.#turned()
    }
  }

  #sumsAfter(at: SumKey, { toDay = LAST_DAY }: UsageFilter): readonly SumRow[] {
    return this.#all<SumRow>(
      `SELECT ${SUM_COLUMNS} FROM usage_sums WHERE (day, tenant, key, user, model) > (?, ?, ?, ?, ?) AND day <= ?
        ORDER BY day, tenant, key, user, model LIMIT ${ROWS_A_STEP}`,
      [...at, toDay],
    )
  }

  /** From day to day: the rows of others are not looked at. */
  #sumsOf(tenant: TenantId, at: SumKey, { toDay = LAST_DAY }: UsageFilter): readonly SumRow[] {
    let [day] = at
    let rest: readonly string[] = at[1] === tenant ? at.slice(2) : ['', '', '']
    for (;;) {
      const rows = this.#all<SumRow>(
        `SELECT ${SUM_COLUMNS} FROM usage_sums WHERE day = ? AND tenant = ? AND (key, user, model) > (?, ?, ?)
          ORDER BY key, user, model LIMIT ${ROWS_A_STEP}`,
        [day, tenant, ...rest],
      )
      if (rows.length > 0) return rows
      const [next] = this.#all<{ day: string | null }>(
        'SELECT min(day) AS day FROM usage_sums WHERE day > ? AND day <= ?',
        [day, toDay],
      )
      if (next.day === null) return []
      day = next.day
      rest = ['', '', '']
    }
  }

  // ------------------------------------------------------------ records

  async records(filter: UsageFilter, after: string | null, most: number): Promise<LedgerPage<StoredUsage>> {
    const { tenant = null, keyId = null, user = null, model = null } = filter
    const [first, last] = this.#rangeOf(filter)
    let at = Math.max(after === null ? 0 : recordCursor(after), first - 1)
    const end = at + RECORDS_A_PAGE
    const items: StoredUsage[] = []
    while (at < last) {
      const to = Math.min(at + RECORDS_A_STEP, last)
      const rows = this.#all<RecordRow>(
        `SELECT ${RECORD_COLUMNS} FROM usage WHERE n > ?1 AND n <= ?2 AND (?3 IS NULL OR tenant = ?3) AND
          (?4 IS NULL OR key = ?4) AND (?5 IS NULL OR user = ?5) AND (?6 IS NULL OR model = ?6)
          ORDER BY n LIMIT ${ROWS_A_STEP}`,
        [at, to, tenant, keyId, user, model],
      )
      for (const row of rows) {
        at = row.n
        if (!isWithin(filter, dayOf(row.at))) continue
        items.push(recordOf(row))
        if (items.length >= most) return { items, next: at < last ? String(at) : null }
      }
      if (rows.length < ROWS_A_STEP) at = to
      if (at >= end) break
      await this.#turned()
    }
    return { items, next: at < last ? String(at) : null }
  }

  /** Numbers of the first and the last record of these days: a clock that was set has left others in between. */
  #rangeOf({ fromDay, toDay }: UsageFilter): readonly [number, number] {
    const [{ least }] = this.#all<{ least: number | null }>('SELECT min(n) AS least FROM usage', [])
    if (least === null) return [0, 0]
    if (fromDay === undefined && toDay === undefined) return [least, this.#last]
    let [first, last] = [MOST, 0]
    const runs = this.#all<{ n: number; day: string }>('SELECT n, day FROM usage_runs ORDER BY n', [])
    for (const [i, { n, day }] of runs.entries()) {
      if (!isWithin({ fromDay, toDay }, day)) continue
      first = Math.min(first, n)
      last = i + 1 < runs.length ? runs[i + 1].n - 1 : this.#last
    }
    return [Math.max(first, least), last]
  }

  // ------------------------------------------------------------ what goes

  /** The number up to which records are older than `age`, or too many for so many bytes; a step of them at most. */
  expired(age: number, bytes: number): number | null {
    const rows = this.#all<{ n: number; age: number }>(`SELECT n, age FROM usage ORDER BY n LIMIT ${ROWS_A_STEP}`, [])
    if (rows.length === 0) return null
    const old = rows.findLast((row) => row.age <= age)?.n ?? 0
    const excess = this.#last + 1 - rows[0].n - Math.floor(bytes / this.#rowBytes())
    const many = excess <= 0 ? 0 : Math.min(rows[0].n + excess - 1, rows[rows.length - 1].n)
    const until = Math.max(old, many)
    return until === 0 ? null : until
  }

  /** By the newest ones. */
  #rowBytes(): number {
    const [{ bytes }] = this.#all<{ bytes: number | null }>(
      `SELECT avg(octet_length(facts) + octet_length(tenant) + octet_length(key) + ifnull(octet_length(user), 0) +
        octet_length(model)) AS bytes FROM (SELECT * FROM usage ORDER BY n DESC LIMIT 100)`,
      [],
    )
    return ROW_BYTES + (bytes ?? 0)
  }

  /** In a transaction. */
  removeUntil(n: number): void {
    this.#note.run(String(this.#last))
    this.#db.prepare('DELETE FROM usage WHERE n <= ?').run(n)
    this.#db.prepare('DELETE FROM usage_runs WHERE n < (SELECT max(n) FROM usage_runs WHERE n <= ?)').run(n + 1)
  }

  /** In a transaction: a tenant's records among those after `n`. Returns the last that it looked at; null: all. */
  removeSome(tenant: TenantId, n: number): number | null {
    this.#note.run(String(this.#last))
    const until = n + RECORDS_A_STEP
    this.#db.prepare('DELETE FROM usage WHERE n > ? AND n <= ? AND tenant = ?').run(n, until, tenant)
    return until < this.#last ? until : null
  }

  /** In a transaction: some of a tenant's sums, from this day on. Returns where to go on; null: there are no more. */
  removeSomeSums(tenant: TenantId, from: string): string | null {
    const [{ day }] = this.#all<{ day: string | null }>('SELECT min(day) AS day FROM usage_sums WHERE day >= ?', [from])
    if (day === null) return null
    this.#sums.forget(tenant)
    const { changes } = this.#statement(`DELETE FROM usage_sums WHERE day = ?1 AND tenant = ?2 AND
      (key, user, model) IN (SELECT key, user, model FROM usage_sums WHERE day = ?1 AND tenant = ?2
        LIMIT ${ROWS_A_STEP})`).run(day, tenant)
    // No day is between one and this
    return Number(changes) === ROWS_A_STEP ? day : `${day}+`
  }

  // ------------------------------------------------------------

  #all<T>(sql: string, values: readonly Value[]): readonly T[] {
    return this.#statement(sql).all(...values) as unknown as T[]
  }

  readonly #statements = new Map<string, StatementSync>()

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#db.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }

  #turned(): Promise<void> {
    return new Promise((turned) => this.#clock.soon(turned))
  }
}

/** Of a record, beside its texts: numbers, and its places in the indexes. */
const ROW_BYTES = 80

const isWithin = ({ fromDay = FIRST_DAY, toDay = LAST_DAY }: UsageFilter, day: string): boolean =>
  day >= fromDay && day <= toDay

const fits = ({ tenant, keyId, user, model }: UsageFilter, sum: UsageSum): boolean =>
  (tenant === undefined || sum.tenant === tenant) &&
  (keyId === undefined || sum.keyId === keyId) &&
  (user === undefined || sum.user === user) &&
  (model === undefined || sum.model === model)

const keyOf = ({ day, tenant, key, user, model }: SumRow): SumKey => [day, tenant, key, user, model]

export function recordOf({ at, tenant, key, user, model, facts }: Omit<RecordRow, 'n'>): StoredUsage {
  const rest = JSON.parse(facts) as Omit<UsageRecord, 'tenant' | 'keyId' | 'user' | 'model'>
  return { ...rest, atMs: at, tenant, keyId: key, user, model }
}

const cursorOf = (key: SumKey): string => Buffer.from(JSON.stringify(key)).toString('base64url')

function sumCursor(text: string): SumKey {
  try {
    const key: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
    if (Array.isArray(key) && key.length === 5 && key.every((name) => typeof name === 'string'))
      return key as unknown as SumKey
  } catch {
    // Below
  }
  throw invalid()
}

function recordCursor(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw invalid()
  return Number(text)
}

const invalid = (): SluiceError =>
  new SluiceError('cursor_invalid', { message: 'This is no cursor of a usage page: take `next` of the page before.' })
