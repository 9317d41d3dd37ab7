/** What was changed, by whom: as it happens, from facts, and what the audit has of the time before. */
import type { Fact } from '../../core/facts.ts'
import type { ChangeRow } from '../../core/live.ts'
import type { AuditEntry } from '../../core/ports/audit.ts'
import { codeText, modelPath } from '../brief/brief.ts'
import { duration, say, strong } from '../brief/words.ts'
import type { Observe } from '../emit.ts'
import { type Edited, Edits } from '../history/edits.ts'
import { wordsOfChange } from './change-words.ts'

export const MAX_CHANGES = 200
/** Deployments that are known to be out: more than any configuration has. */
const MAX_OUT = 1_000
/** A deployment that fails again so soon after it may be called again was out all the time. */
const AGAIN_MS = 60_000
/** The same words so soon after each other are one change. */
const SAME_MS = 1_000

const KINDS: ReadonlyArray<readonly [prefix: string, kind: ChangeRow['kind']]> = [
  ['config-', 'config'],
  ['key-', 'key'],
  ['benchmark-', 'bench'],
  ['text-', 'look'],
  ['deployment-drained', 'deployment-out'],
  ['deployment-put-back', 'deployment-back'],
]

interface Kept {
  readonly row: ChangeRow
  /** In the order in which they became known here. */
  readonly n: number
  /** 0: it was told by another node, or by the audit. */
  readonly edit: number
}

export class Changes {
  /** Newest first. */
  #rows: Kept[] = []
  #added = 0
  #storeOutSince: number | null = null
  readonly #out = new Map<string, { readonly sinceMs: number; untilMs: number }>()
  /** Deployments whose calls fail, since the first of them that did so in a row. */
  readonly #failingSince = new Map<string, number>()
  readonly #edits: Edits

  constructor(edits = new Edits()) {
    this.#edits = edits
  }

  /** How many came since the start: what is new is told by it. */
  get added(): number {
    return this.#added
  }

  /** Those that came after the first `added`; null: all. */
  newest(most: number, after: number | null = null): readonly ChangeRow[] {
    return this.#rows
      .filter(({ n }) => after === null || n > after)
      .slice(0, most)
      .map(({ row }) => row)
  }

  outSince(deployment: string): number | null {
    return this.#out.get(deployment)?.sinceMs ?? this.#failingSince.get(deployment) ?? null
  }

  /** Deployments that are out, or fail, as far as is known here, and since when. */
  outs(): ReadonlyArray<readonly [deployment: string, sinceMs: number]> {
    const names = new Set([...this.#out.keys(), ...this.#failingSince.keys()])
    return [...names].map((deployment) => [deployment, this.outSince(deployment)!])
  }

  /** Since when the store has taken nothing; null: it does, or nobody knows. */
  get storeOutSince(): number | null {
    return this.#storeOutSince
  }

  add(row: ChangeRow): void {
    this.#keep(row, this.#edits.next())
  }

  /**
   * Of another node, or of the audit, which tell the same change by two readings of the clock. `writtenAtMs`: the time
   * of it by the clock of whoever made it.
   */
  addOthers(row: ChangeRow, writtenAtMs = row.atMs): void {
    const what = ({ kind, words, by }: ChangeRow): string => JSON.stringify([kind, words, by])
    const isThen = (atMs: number): boolean =>
      Math.abs(atMs - row.atMs) < SAME_MS || Math.abs(atMs - writtenAtMs) < SAME_MS
    if (this.#rows.some((kept) => isThen(kept.row.atMs) && what(kept.row) === what(row))) return
    this.#keep(row, 0)
  }

  #keep(row: ChangeRow, edit: number): void {
    this.#rows = [{ row, n: ++this.#added, edit }, ...this.#rows]
      .sort((a, b) => b.row.atMs - a.row.atMs)
      .slice(0, MAX_CHANGES)
  }

  /** What there was before the start; called once. */
  addOlder(entries: readonly AuditEntry[]): void {
    for (const entry of entries.toReversed()) this.addOthers(rowOf(entry))
  }

  /** What happened at this node after this edit. */
  editedAfter(edit: number): Array<Edited<ChangeRow>> {
    return this.#rows.filter((kept) => kept.edit > edit).map((kept) => ({ edit: kept.edit, pack: () => kept.row }))
  }

  readonly observe: Observe = (fact) => {
    switch (fact.type) {
      case 'admin-changed':
        return this.add(rowOf(fact))
      case 'deployment-cooled':
        return this.#cooled(fact)
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

  /** Where its attempts run at other processes, nobody tells here that it is back. */
  #cooled({ deployment, code, atMs, ms }: Extract<Fact, { type: 'deployment-cooled' }>): void {
    const known = this.#out.get(deployment)
    const untilMs = atMs + ms
    if (known !== undefined && atMs <= known.untilMs + AGAIN_MS) {
      known.untilMs = Math.max(known.untilMs, untilMs)
      return
    }
    if (known === undefined && this.#out.size >= MAX_OUT) return
    this.#out.set(deployment, { sinceMs: atMs, untilMs })
    const words = [strong(deployment, modelPath(deployment)), say(`: ${codeText(code)}; left alone for a while`)]
    this.add({ atMs, kind: 'deployment-out', words, by: null })
  }

  #back(deployment: string, atMs: number): void {
    this.#failingSince.delete(deployment)
    const out = this.#out.get(deployment)
    if (out === undefined) return
    this.#out.delete(deployment)
    const words = [
      strong(deployment, modelPath(deployment)),
      say(` answers again, after ${duration(atMs - out.sinceMs)}`),
    ]
    this.add({ atMs, kind: 'deployment-back', words, by: null })
  }
}

function rowOf({ atMs, action, target, before, after, from }: AuditEntry): ChangeRow {
  const kind = KINDS.find(([prefix]) => action.startsWith(prefix))?.[1] ?? 'operator'
  const { subject, rest } = wordsOfChange({ action, target, before, after })
  return { atMs, kind, words: [strong(subject), say(rest.slice(0, 200))], by: from || null }
}
