/** All levels that something is used of, and those of a job. */
import { Slots, Table } from '../../core/table.ts'
import type { Calendar } from './budget.ts'
import { type Accounts, Level, type LevelKind, type LevelLimits } from './level.ts'

/** What there may be, by the settings; null: no limit. The same objects as long as nothing changes. */
export interface Rules {
  readonly global: LevelLimits | null
  /** Of all tenants together. */
  model(model: string): LevelLimits | null
  tenant(tenant: string): TenantRules | null
  key(id: string): LevelLimits | null
}

export interface TenantRules {
  readonly all: LevelLimits | null
  /** Each end user has accounts of its own. */
  readonly eachUser: LevelLimits | null
  /** Each run of an agent. */
  readonly eachRun: LevelLimits | null
  model(model: string): LevelLimits | null
}

/** Whose levels a job belongs to. */
export interface Whose {
  readonly tenant: string
  readonly model: string
  readonly keyId: string
  readonly user: string | null
  /** An agent's run; null: it belongs to none. */
  readonly run: string | null
}

/** Levels looked at for each job, to forget those that are unused. */
const SWEPT = 2

export class Levels {
  readonly #rules: () => Rules
  readonly #calendar: Calendar
  readonly #all = new Slots<Level>()
  /** By kind, owner and name, each as its job spells it: a name that is put together costs more than the rest. */
  readonly #byKind = new Table<LevelKind, Table<string, Table<string, Level>>>()
  #sweepAt = 0

  constructor(rules: () => Rules, calendar: Calendar) {
    this.#rules = rules
    this.#calendar = calendar
  }

  get size(): number {
    return this.#all.size
  }

  /** From the narrowest to the widest. */
  of({ tenant, model, keyId, user, run }: Whose, now: number): readonly Accounts[] {
    this.#sweep(now)
    const rules = this.#rules()
    const own = rules.tenant(tenant)
    const found: Accounts[] = []
    const add = (kind: LevelKind, owner: string, name: string | null, limits: LevelLimits | null): void => {
      if (limits !== null && name !== null) found.push(this.#find(kind, owner, name, limits, now))
    }
    if (own !== null) add('run', tenant, run, own.eachRun)
    add('key', '', keyId, rules.key(keyId))
    if (own !== null) {
      add('user', tenant, user, own.eachUser)
      add('tenant_model', tenant, model, own.model(model))
      add('tenant', '', tenant, own.all)
    }
    add('model', '', model, rules.model(model))
    add('global', '', '', rules.global)
    return found
  }

  #find(kind: LevelKind, owner: string, name: string, limits: LevelLimits, now: number): Accounts {
    const level = this.#byKind.get(kind)?.get(owner)?.get(name) ?? this.#make(kind, owner, name, limits)
    level.change(limits, this.#calendar, now)
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
      if (level?.isUnused(now)) this.#forget(level, this.#sweepAt)
    }
  }

  #forget(level: Level, at: number): void {
    this.#all.delete(at, level)
    const owners = this.#byKind.get(level.kind)!
    const names = owners.get(level.owner)!
    names.delete(level.name)
    if (names.size === 0) owners.delete(level.owner)
  }
}
