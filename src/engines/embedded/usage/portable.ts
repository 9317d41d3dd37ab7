/** Limits and usage, on their way from or to another store. */
import type { DatabaseSync } from 'node:sqlite'
import type { UsageSum } from '../../../core/ports/ledger.ts'
import { dayOf, type OpenWindow } from '../../shared/calendar.ts'
import type { StoredLevel, StoredRecord, StoredWindow } from '../../shared/portable/kinds.ts'
import { type RecordRow, recordOf } from './ledger.ts'
import { type LevelRow, usedOf, WINDOWS, windowsIn } from './levels.ts'
import { SUM_COLUMNS, type SumRow, storedUser, sumOf } from './sums.ts'

/** A store, and its age now. */
interface From {
  readonly db: DatabaseSync
  readonly age: number
  readonly damaged: (detail: string) => void
}

// ---------------------------------------------------------------- out

export function* windowsOf({ db, age, damaged }: From): Generator<StoredWindow> {
  const open = windowsIn(db, damaged)
  for (const window of WINDOWS) {
    const one = open[window]
    if (one !== undefined) yield { window, index: one.index, endsInMs: one.ends - age }
  }
}

export function* levelsOf({ db, age, damaged }: From): Generator<StoredLevel> {
  const rows = db.prepare('SELECT * FROM levels ORDER BY kind, owner, name')
  for (const row of rows.iterate() as unknown as Iterable<LevelRow>) {
    const { kind, owner, name } = row
    const used = usedOf(row, damaged)
    if (used !== null) yield { kind, owner, name, agoMs: age - row.age, ...used }
  }
}

export function* sumsOf({ db }: From): Generator<UsageSum> {
  const rows = db.prepare(`SELECT ${SUM_COLUMNS} FROM usage_sums ORDER BY day, tenant, key, user, model`)
  for (const row of rows.iterate() as unknown as Iterable<SumRow>) yield sumOf(row)
}

export function* recordsOf({ db, age, damaged }: From): Generator<StoredRecord> {
  const rows = db.prepare('SELECT * FROM usage ORDER BY n')
  for (const row of rows.iterate() as unknown as Iterable<RecordRow & { readonly age: number }>)
    try {
      yield { ...recordOf(row), agoMs: age - row.age }
    } catch {
      damaged('A usage record is damaged, and is left out; the sums have it.')
    }
}

// ---------------------------------------------------------------- in

/** The age of a new store begins at 0. */
export function levelsWriter(db: DatabaseSync) {
  const level = db.prepare('INSERT INTO levels VALUES (?, ?, ?, ?, ?)')
  const note = db.prepare("INSERT OR REPLACE INTO meta VALUES ('windows', ?)")
  const open: Record<string, OpenWindow> = {}
  return {
    window({ window, index, endsInMs }: StoredWindow): void {
      open[window] = { index, ends: Math.round(endsInMs) }
      note.run(JSON.stringify(open))
    },
    level({ kind, owner, name, agoMs, ...amounts }: StoredLevel): void {
      level.run(kind, owner, name, -Math.round(agoMs), JSON.stringify(amounts))
    },
  }
}

export function usageWriter(db: DatabaseSync) {
  const record = db.prepare('INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
  const begin = db.prepare('INSERT INTO usage_runs VALUES (?, ?)')
  let [n, run] = [0, '']
  const sum = db.prepare('INSERT INTO usage_sums VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  return {
    sum(value: UsageSum): void {
      const { day, tenant, keyId, user, model, attempts, repeats, estimated, unpriced, nanoDollars } = value
      const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = value
      const counts = [attempts, repeats, estimated, unpriced]
      const tokens = [promptTokens, cachedTokens, completionTokens, reasoningTokens]
      sum.run(day, tenant, keyId, storedUser(user), model, ...counts, ...tokens, nanoDollars)
    },
    record({ atMs, agoMs, tenant, keyId, user, model, ...facts }: StoredRecord): void {
      const at = Math.floor(atMs)
      const day = dayOf(at)
      n++
      if (day !== run) begin.run(n, day)
      run = day
      record.run(n, at, -Math.round(agoMs), tenant, keyId, user, model, JSON.stringify(facts))
    },
  }
}
