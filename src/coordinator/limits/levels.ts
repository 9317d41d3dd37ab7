/** All levels that something is used of, and those of a job. */
import {
  type Calendar,
  type LevelKind,
  type LevelLimits,
  type LevelState,
  type LimitSettings,
  levelsOf,
  limitsAt,
  modelLevels,
  type RunBudget,
} from '../../core/limits.ts'
import { Slots, Table } from '../../core/table.ts'
import { type Accounts, Level } from './level.ts'

/** Whose levels a job belongs to. */
export interface Whose {
  readonly tenant: string
  readonly model: string
  readonly keyId: string
  readonly user: string | null
  /** An agent's run; null: it belongs to none. */
  readonly run: string | null
  /** What that run may use in all; absent or null: nothing of its own limits it. */
  readonly budget?: RunBudget | null
}

/** Levels looked at for each job, to forget those that are unused. */
const SWEPT = 3

export class Levels {
  readonly #settings: () => LimitSettings
  readonly #calendar: () => Calendar
  readonly #all = new Slots<Level>()
  /** By kind, owner and name, each as its job spells it: a name that is put together costs more than the rest. */
  readonly #byKind = new Table<LevelKind, Table<string, Table<string, Level>>>()
  #sweepAt = 0
  #changed: Level[] = []
  #forgotten: Level[] = []

  constructor(settings: () => LimitSettings, calendar: () => Calendar) {
    this.#settings = settings
    this.#calendar = calendar
  }

  get size(): number {
    return this.#all.size
  }

  /** From the narrowest to the widest. What a run uses is counted, even if nothing limits it. */
  of(whose: Whose, now: number): readonly Accounts[] {
    this.#sweep(now)
    const { tenant, run } = whose
    const limited = levelsOf(this.#settings(), whose)
    const all = limited.map(({ kind, owner, name, limits }) =>
      this.#find(kind, owner, name, kind === 'run' ? counted(limits) : limits, now),
    )
    if (run === null || limited[0]?.kind === 'run') return all
    return [this.#find('run', tenant, run, counted(NOTHING_LIMITED), now), ...all]
  }

  /** Null: nothing is known of it. */
  find(kind: LevelKind, owner: string, name: string): Level | null {
    return this.#byKind.get(kind)?.get(owner)?.get(name) ?? null
  }

  /** Ids of those that are narrower than its tenant, or no wider. */
  narrow(whose: Whose, toTenant: boolean): readonly string[] {
    return levelsOf(this.#settings(), whose)
      .filter(({ kind }) => (toTenant ? OWN : MEMBERS).includes(kind))
      .map(({ kind, owner, name }) => `${kind}\n${owner}\n${name}`)
  }

  /** A tenant's own level and its models', as the settings have them. One that nothing is used of is not kept. */
  ownOf(tenant: string, now: number): readonly Accounts[] {
    const settings = this.#settings()
    const found: Accounts[] = []
    const add = (kind: LevelKind, owner: string, name: string): void => {
      const limits = limitsAt(settings, kind, owner, name)
      if (limits === null) return
      const known = this.find(kind, owner, name)
      known?.change(limits, now)
      found.push((known ?? new Level(kind, owner, name, limits, this.#calendar)).accounts)
    }
    add('tenant', '', tenant)
    for (const name of modelLevels(settings, tenant)) add('tenant_model', tenant, name)
    return found
  }

  /**
   * A tenant's keys, users and runs that something is used of, as far as they are limited. Null, where there are more
   * than `most` of them: one of somebody else was looked at.
   */
  *membersOf(tenant: string, most: number, now: number): Generator<Accounts | null> {
    const settings = this.#settings()
    const tables = MEMBERS.flatMap((kind) => this.#byKind.get(kind)?.get(tenant) ?? [])
    // The names of a table are listed at once, which takes long where there are many
    const isMany = tables.reduce((sum, { size }) => sum + size, 0) > most
    for (const level of isMany ? this.#all : tables.flatMap((table) => [...table.values()])) {
      const { kind, owner, name } = level
      const isIts = owner === tenant && MEMBERS.includes(kind)
      const limits = isIts ? limitsAt(settings, kind, owner, name) : null
      if (limits !== null) level.change(limits, now)
      if (limits !== null) yield level.accounts
      else if (isMany) yield null
    }
  }

  /** What a tenant, and its users, keys, runs and models have used; what something is held of stays. */
  forgetTenant(tenant: string): void {
    this.#changed = this.#changed.filter((level) => !isLeft(level, tenant))
    for (let at = this.#all.extent - 1; at >= 0; at--) {
      const level = this.#all.get(at)
      if (level !== undefined && isLeft(level, tenant)) this.#forget(level, at)
    }
  }

  // ------------------------------------------------------------ for the store

  changed(level: Level): void {
    if (level.isChanged) return
    level.isChanged = true
    this.#changed.push(level)
  }

  /** Since the last call. */
  take(now: number): readonly LevelState[] {
    if (this.#changed.length === 0 && this.#forgotten.length === 0) return NONE
    // First: it may have been made anew since
    const states = this.#forgotten.map(({ kind, owner, name }): LevelState => ({ kind, owner, name, used: null }))
    this.#forgotten = []
    const changed = this.#changed
    this.#changed = []
    for (const level of changed) {
      level.isChanged = false
      const { kind, owner, name } = level
      const used = level.used(now)
      if (used === null && !level.isStored) continue
      level.isStored = used !== null
      states.push({ kind, owner, name, used })
    }
    return states
  }

  /** Of what the settings do not limit, too: they may again. */
  restore(states: readonly LevelState[], now: number): void {
    const settings = this.#settings()
    for (const { kind, owner, name, used } of states) {
      if (used === null || kind === 'deployment') continue
      const limits = limitsAt(settings, kind, owner, name) ?? NOTHING_LIMITED
      this.#find(kind, owner, name, limits, now).level.restore(used, now)
    }
  }

  #find(kind: LevelKind, owner: string, name: string, limits: LevelLimits, now: number): Accounts {
    const level = this.find(kind, owner, name) ?? this.#make(kind, owner, name, limits)
    level.isAsked = true
    level.change(limits, now)
    return level.accounts
  }

  #make(kind: LevelKind, owner: string, name: string, limits: LevelLimits): Level {
    const level = new Level(kind, owner, name, limits, this.#calendar)
    const owners = this.#byKind.get(kind) ?? new Table<string, Table<string, Level>>()
    const names = owners.get(owner) ?? new Table<string, Level>()
    this.#byKind.set(kind, owners)
    owners.set(owner, names)
    names.set(name, level)
    this.#all.add(level)
    return level
  }

  /** A user who was here once is not remembered for ever. */
  #sweep(now: number): void {
    for (let i = 0; i < SWEPT; i++) {
      this.#sweepAt = this.#sweepAt >= this.#all.extent ? 0 : this.#sweepAt + 1
      const level = this.#all.get(this.#sweepAt)
      if (level === undefined) continue
      // One that is asked for again and again, as by who is refused elsewhere, is not made anew each time
      if (level.isAsked) level.isAsked = false
      else if (!level.isChanged && level.isUnused(now)) this.#forget(level, this.#sweepAt)
    }
  }

  #forget(level: Level, at: number): void {
    if (level.isStored) this.#forgotten.push(level)
    this.#all.delete(at, level)
    const owners = this.#byKind.get(level.kind)!
    const names = owners.get(level.owner)!
    names.delete(level.name)
    if (names.size === 0) owners.delete(level.owner)
  }
}

const isLeft = ({ kind, owner, name, holders }: Level, tenant: string): boolean =>
  holders === 0 && (kind === 'tenant' ? name === tenant : owner === tenant)

const isCounted = new WeakMap<LevelLimits, LevelLimits>()

/** With a total of each unit. The same object for the same limits. */
function counted(limits: LevelLimits): LevelLimits {
  const known = isCounted.get(limits)
  if (known !== undefined) return known
  const totals = TOTALS.map((unit) => limits.totals?.find((one) => one.unit === unit) ?? { unit, most: Infinity })
  const made = { ...limits, totals }
  isCounted.set(limits, made)
  return made
}
const TOTALS = ['tokens', 'requests', 'nano_dollars'] as const

const NONE: readonly LevelState[] = []
const NOTHING_LIMITED: LevelLimits = { rates: [], budgets: [], concurrent: null }
const MEMBERS: readonly LevelKind[] = ['key', 'user', 'run']
const OWN: readonly LevelKind[] = [...MEMBERS, 'tenant_model', 'tenant']
