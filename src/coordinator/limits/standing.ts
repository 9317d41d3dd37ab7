/** How a tenant stands with its limits, for operators. Asked for while somebody looks; it changes nothing. */
import type { LimitUse, TenantStanding } from '../../core/limits.ts'
import type { Account } from './account.ts'
import type { Accounts, Level } from './level.ts'
import type { Levels } from './levels.ts'

/** Of keys, users and runs: those that have used so large a share … */
const NEAR = 0.5
/** … and of them, the fullest. */
const MOST_NEAR = 20
/** Of a tenant's own limits: more than any configuration has of one level. */
const MOST_OWN = 200
/** Levels that one answer looks at: a millisecond or two. */
const LOOKED_AT = 10_000
/** One of another tenant is soon passed over. */
const OF_OTHERS = 0.1

interface Ranked {
  readonly share: number
  readonly use: LimitUse
}

export function tenantStanding(levels: Levels, tenant: string, now: number): TenantStanding {
  const own = levels.ownOf(tenant, now).flatMap((accounts) => [...rankedOf(accounts, now)])
  let near: Ranked[] = []
  let [looked, found] = [0, 0]
  let isPartial = false
  for (const accounts of levels.membersOf(tenant, LOOKED_AT, now)) {
    looked += accounts === null ? OF_OTHERS : 1
    if (looked > LOOKED_AT) {
      isPartial = true
      break
    }
    if (accounts === null) continue
    for (const account of each(accounts)) {
      const share = shareOf(account, now)
      if (share < NEAR) continue
      found++
      near.push({ share, use: useOf(accounts.level, account, now) })
      if (near.length >= 2 * MOST_NEAR) near = fullest(near, MOST_NEAR)
    }
  }
  const shown = fullest(near, MOST_NEAR)
  return {
    own: fullest(own, MOST_OWN).map(({ use }) => use),
    near: shown.map(({ use }) => use),
    more: found - shown.length,
    isPartial,
  }
}

/** Of its own limits and its models', the fullest; null: it has none. */
export function fullestOf(levels: Levels, tenant: string, now: number): LimitUse | null {
  const own = levels.ownOf(tenant, now).flatMap((accounts) => [...rankedOf(accounts, now)])
  return fullest(own, 1)[0]?.use ?? null
}

const fullest = (all: readonly Ranked[], most: number): Ranked[] =>
  [...all].sort((one, other) => other.share - one.share).slice(0, most)

function* each({ amounts, running }: Accounts): Generator<Account> {
  yield* amounts
  if (running !== null) yield running
}

function* rankedOf(accounts: Accounts, now: number): Generator<Ranked> {
  for (const account of each(accounts)) yield { share: shareOf(account, now), use: useOf(accounts.level, account, now) }
}

/** Of what there is, used or held. A limit of 0 is always full. */
const shareOf = (account: Account, now: number): number =>
  account.limit > 0 ? 1 - account.left(now) / account.limit : 1

function useOf({ kind, name }: Level, account: Account, now: number): LimitUse {
  const { unit, window, limit } = account
  const held = account.held(now)
  return {
    level: kind,
    name,
    unit,
    ...(window !== null && { window }),
    limit,
    used: Math.max(0, limit - account.left(now) - held),
    held,
    resetMs: window === null ? account.resetMs(now) : account.windowMs(now),
  }
}
