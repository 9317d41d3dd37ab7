/**
 * What is used by day, tenant, key, user and model. Users and models are clients' own words: of a tenant and day only
 * so many sums are begun, and what would begin another goes into that of OTHERS.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { TenantId } from '../../../core/job.ts'
import { SUMS_A_DAY, type UsageSum } from '../../../core/ports/ledger.ts'

export type SumKey = readonly [day: string, tenant: string, key: string, user: string, model: string]
/** `user`: as it is stored. */
export type SumRow = Omit<UsageSum, 'keyId'> & { readonly key: string; readonly user: string }

/** Greatest sum that is told: more is no exact number. */
const MOST = Number.MAX_SAFE_INTEGER

export const SUM_COLUMNS =
  'day, tenant, key, user, model, attempts, repeats, estimated, unpriced, prompt AS promptTokens, ' +
  'cached AS cachedTokens, completion AS completionTokens, reasoning AS reasoningTokens, ' +
  `min(nano_dollars, ${MOST}) AS nanoDollars`

/** Sorts before all users, and after it the one that no user can have. */
const NOBODY = ''
const OTHERS = 'u'
export const storedUser = (user: string | null): string => (user === null ? NOBODY : `u${user}`)

export const sumOf = ({ key, user, ...row }: SumRow): UsageSum => ({
  ...row,
  keyId: key,
  user: user === NOBODY ? null : user.slice(1),
})

export class UsageSums {
  readonly #most: number
  readonly #add: StatementSync
  readonly #begin: StatementSync
  readonly #count: StatementSync
  /** Of the day, and of tenants for which one was begun since the start. */
  readonly #counts = new Map<TenantId, number>()
  #day = ''
  #isOpen = false

  constructor(db: DatabaseSync, most = SUMS_A_DAY) {
    this.#most = most
    this.#add = db.prepare(`UPDATE usage_sums SET attempts = attempts + ?, repeats = repeats + ?,
      estimated = estimated + ?, unpriced = unpriced + ?, prompt = prompt + ?, cached = cached + ?,
      completion = completion + ?, reasoning = reasoning + ?, nano_dollars = nano_dollars + ?
      WHERE day = ? AND tenant = ? AND key = ? AND user = ? AND model = ?`)
    this.#begin = db.prepare('INSERT INTO usage_sums VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    this.#count = db.prepare('SELECT count(*) AS n FROM usage_sums WHERE day = ? AND tenant = ?')
  }

  /** First in a transaction: one that failed has stored nothing. */
  open(): void {
    if (this.#isOpen) this.#counts.clear()
    this.#isOpen = true
  }

  committed(): void {
    this.#isOpen = false
  }

  /** Its sums are being erased. */
  forget(tenant: TenantId): void {
    this.#counts.delete(tenant)
  }

  /** In a transaction. */
  add(sum: SumKey, amounts: readonly number[]): void {
    if (this.#addTo(sum, amounts)) return
    const [day, tenant, key, , model] = sum
    const count = this.#countOf(day, tenant)
    const others: SumKey = [day, tenant, key, OTHERS, model]
    if (count < this.#most) this.#beginWith(sum, amounts)
    else if (this.#addTo(others, amounts)) return
    else if (count < 1.1 * this.#most) this.#beginWith(others, amounts)
    else {
      const rest: SumKey = [day, tenant, key, OTHERS, '']
      if (!this.#addTo(rest, amounts)) this.#beginWith(rest, amounts)
    }
  }

  #addTo(sum: SumKey, amounts: readonly number[]): boolean {
    return Number(this.#add.run(...amounts, ...sum).changes) > 0
  }

  #beginWith(sum: SumKey, amounts: readonly number[]): void {
    this.#begin.run(...sum, ...amounts)
    const [, tenant] = sum
    this.#counts.set(tenant, this.#counts.get(tenant)! + 1)
  }

  #countOf(day: string, tenant: TenantId): number {
    if (day !== this.#day) this.#counts.clear()
    this.#day = day
    const known = this.#counts.get(tenant)
    if (known !== undefined) return known
    const { n } = this.#count.get(day, tenant) as { n: number }
    this.#counts.set(tenant, n)
    return n
  }
}
