/** What was changed, by whom: as it happens, from facts, and what the audit has of the time before. */
import type { Fact } from '../../core/facts.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { ChangeRow } from '../../core/live.ts'
import type { AuditEntry } from '../../core/ports/audit.ts'
import { codeText, modelPath } from '../brief/brief.ts'
import { duration, say, strong } from '../brief/words.ts'
import type { Observe } from '../emit.ts'

export const MAX_CHANGES = 200
/** Deployments that are known to be out: more than any configuration has. */
const MAX_OUT = 1_000

const KINDS: ReadonlyArray<readonly [prefix: string, kind: ChangeRow['kind']]> = [
  ['config-', 'config'],
  ['key-', 'key'],
  ['benchmark-', 'bench'],
  ['text-', 'look'],
  ['deployment-drained', 'deployment-out'],
  ['deployment-put-back', 'deployment-back'],
]

export class Changes {
  /** Newest first. */
  #rows: ChangeRow[] = []
  #added = 0
  #storeOutSince: number | null = null
  readonly #outSince = new Map<string, number>()
  /** Deployments whose calls fail, since the first of them that did so in a row. */
  readonly #failingSince = new Map<string, number>()

  /** How many came since the start: what is new is told by it. */
  get added(): number {
    return this.#added
  }

  newest(most: number): readonly ChangeRow[] {
    return this.#rows.slice(0, most)
  }

  outSince(deployment: string): number | null {
    return this.#outSince.get(deployment) ?? this.#failingSince.get(deployment) ?? null
  }

  /** Since when the store has taken nothing; null: it does, or nobody knows. */
  get storeOutSince(): number | null {
    return this.#storeOutSince
  }

  add(row: ChangeRow): void {
    this.#added++
    this.#rows.unshift(row)
    this.#rows.length = Math.min(this.#rows.length, MAX_CHANGES)
  }

  /** What there was before the start; called once. */
  addOlder(entries: readonly AuditEntry[]): void {
    const oldest = this.#rows.at(-1)?.atMs ?? Infinity
    const older = entries.filter(({ atMs }) => atMs < oldest).map(rowOf)
    this.#rows = [...this.#rows, ...older].slice(0, MAX_CHANGES)
  }

  readonly observe: Observe = (fact) => {
    switch (fact.type) {
      case 'admin-changed':
        return this.add(rowOf(fact))
      case 'deployment-cooled':
        return this.#out(fact)
      case 'attempt-ended':
        // One that failed before any call tells nothing of its deployment
        if (fact.code === null) this.#back(fact.deployment, fact.atMs)
        else if (fact.code.startsWith('provider_')) this.#failed(fact.deployment, fact.atMs)
        return
      case 'first-token-received':
        return this.#back(fact.deployment, fact.atMs)
      case 'store-degraded':
        this.#storeOutSince ??= fact.atMs
        return this.add({ atMs: fact.atMs, kind: 'node', words: [strong('The store takes nothing')], by: null })
      case 'store-recovered':
        this.#storeOutSince = null
        return this.add({ atMs: fact.atMs, kind: 'node', words: [say('The store is back')], by: null })
      default:
    }
  }

  #failed(deployment: string, atMs: number): void {
    if (!this.#failingSince.has(deployment) && this.#failingSince.size < MAX_OUT)
      this.#failingSince.set(deployment, atMs)
  }

  #out({ deployment, code, atMs }: Extract<Fact, { type: 'deployment-cooled' }>): void {
    if (this.#outSince.has(deployment) || this.#outSince.size >= MAX_OUT) return
    this.#outSince.set(deployment, atMs)
    const words = [strong(deployment, modelPath(deployment)), say(`: ${codeText(code)}; left alone for a while`)]
    this.add({ atMs, kind: 'deployment-out', words, by: null })
  }

  #back(deployment: string, atMs: number): void {
    this.#failingSince.delete(deployment)
    const since = this.#outSince.get(deployment)
    if (since === undefined) return
    this.#outSince.delete(deployment)
    const words = [strong(deployment, modelPath(deployment)), say(` answers again, after ${duration(atMs - since)}`)]
    this.add({ atMs, kind: 'deployment-back', words, by: null })
  }
}

/** "key-created", "key key_ab": "key key_ab created: weight 2 → 3" */
function rowOf({ atMs, action, target, before, after, from }: AuditEntry): ChangeRow {
  const kind = KINDS.find(([prefix]) => action.startsWith(prefix))?.[1] ?? 'operator'
  const verb = action.slice(action.indexOf('-') + 1).replaceAll('-', ' ')
  const changed = differing(before, after)
    .slice(0, 3)
    .map(([name, was, is]) => (was === null ? `${name} ${is ?? '–'}` : `${name} ${was} → ${is ?? '–'}`))
  const more = changed.length === 0 ? '' : `: ${changed.join(', ')}`
  return { atMs, kind, words: [strong(target.slice(0, 100)), say(` ${verb}${more}`.slice(0, 200))], by: from || null }
}

type Differing = readonly [name: string, was: string | null, is: string | null]

/** Of groups, such as limits, the members that differ. */
function differing(before: JsonRecord, after: JsonRecord): Differing[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])]
  return names.flatMap((name): Differing[] => {
    const [was, is] = [before[name], after[name]]
    if (isRecord(was) && isRecord(is))
      return differing(was, is).flatMap(([member, ...values]) =>
        values[0] === values[1] ? [] : [[`${name} ${member}`, ...values]],
      )
    return [[name, shown(was), shown(is)]]
  })
}

/** Views in the audit have nothing secret, but may be long. */
function shown(value: unknown): string | null {
  if (value === undefined || value === null) return null
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > 40 ? `${text.slice(0, 39)}…` : text
}
