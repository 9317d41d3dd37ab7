/**
 * The journal of one term: commits, in order, of which two may be under way, so that Redis stores one while the next is
 * decided. A commit that was cut is sent again as it was, until it is in; one that finds another's fence, or comes too
 * late, ends the term, and nothing of it was told.
 */
import type { Clock } from '../../../core/clock.ts'
import { storageError } from '../client/errors.ts'
import type { Argument, Scripts } from '../client/scripts.ts'
import { COMMIT_MS } from '../protocol/commands.ts'
import { Commit } from './commit.ts'
import { OTHER_SERVER, type Won } from './election.ts'

/** More would only wait at Redis, and smaller commits cost more. */
const UNDER_WAY = 2
/** Between two tries while Redis is away, or full. */
const RETRY_MS = 50
/** What is decided at once beyond this goes into a further commit: Redis does nothing else during one. */
const HEAVY = 256
const RANDOM = 2 ** 28

export interface JournalEvents {
  /** All that was decided so far is in this commit: what goes with it as it is now? */
  closing(commit: Commit): void
  /** Another coordinates, or this one can't be sure of its memory. Called once; nothing is committed any more. */
  fenced(reason: string): void
  /** A commit can't be stored, and no other way; or what follows on it threw. Nothing is committed any more. */
  broke(error: unknown): void
  /** Nobody hears for these processes. */
  unheard(processes: readonly string[]): void
}

export class Journal {
  readonly #scripts: Scripts
  readonly #clock: Clock
  readonly #won: Pick<Won, 'term' | 'epoch'>
  readonly #random: () => number
  readonly #events: JournalEvents
  #ready: Commit[] = []
  #draft = new Commit()
  #number = 0
  /** Commits under way, the oldest first: whether each came to be stored. */
  readonly #underWay: Array<Promise<boolean>> = []
  #over = false

  /** `random`: uniform in [0, 1). */
  constructor(
    scripts: Scripts,
    clock: Clock,
    won: Pick<Won, 'term' | 'epoch'>,
    random: () => number,
    events: JournalEvents,
  ) {
    this.#scripts = scripts
    this.#clock = clock
    this.#won = won
    this.#random = random
    this.#events = events
  }

  /** What the next commit stores and tells. */
  get draft(): Commit {
    return this.#draft
  }

  /** What was decided so far is whole, and may be in a commit before what follows. */
  split(): void {
    if (this.#draft.weight >= HEAVY) this.#close()
  }

  #close(): void {
    this.#events.closing(this.#draft)
    this.#ready.push(this.#draft)
    this.#draft = new Commit()
  }

  /** Resolves when all of the draft is under way, and there is room for more; or when it never will be. */
  async commit(): Promise<void> {
    if (!this.#draft.isEmpty) this.#close()
    const ready = this.#ready
    this.#ready = []
    const untilMono = this.#clock.monoMs() + COMMIT_MS
    for (const commit of ready) {
      if (this.#over) return
      this.#send(commit, untilMono)
      if (this.#underWay.length >= UNDER_WAY) await this.#underWay[0]
    }
  }

  /** Resolves when all that was under way is stored, and told: true; or when it never will be. */
  async settled(): Promise<boolean> {
    await this.#underWay.at(-1)
    return !this.#over
  }

  /** Nothing is sent any more. */
  stop(): void {
    this.#over = true
  }

  #send(commit: Commit, untilMono: number): void {
    const { term, epoch } = this.#won
    const args = commit.args(term, this.#number++, epoch, Math.floor(this.#random() * RANDOM))
    const stored = this.#store(commit, args, untilMono, this.#underWay.at(-1)).catch((error: unknown) =>
      this.#break(error),
    )
    this.#underWay.push(stored)
    void stored.then(() => this.#underWay.shift())
  }

  /** `before`: the commit before it, where that is under way. */
  async #store(
    commit: Commit,
    args: readonly Argument[],
    untilMono: number,
    before?: Promise<boolean>,
  ): Promise<boolean> {
    const early = this.#try(args)
    if (before !== undefined && !(await before)) return false
    let answer = await early
    // Where the one before was cut, this one has overtaken it, and was refused for that alone
    if (before !== undefined && answer?.[0] === 'fenced') {
      if (this.#over) return false
      answer = await this.#try(args)
    }
    while (answer === null) {
      if (this.#over) return false
      if (this.#clock.monoMs() > untilMono) return this.#fence('Redis takes no commits')
      await new Promise<void>((again) => this.#clock.after(RETRY_MS, again))
      if (this.#over) return false
      answer = await this.#try(args)
    }
    const [what, ...details] = answer
    if (what === 'other') return this.#fence(OTHER_SERVER)
    if (what === 'failed') return this.#break(`Redis refuses a commit: ${details.join(' ')}`)
    if (what !== 'ok' && what !== 'in') return this.#fence(details.join(' '))
    commit.stored()
    if (details.length > 0) this.#events.unheard([...new Set(details)])
    return true
  }

  /** Null: to be tried again. */
  async #try(args: readonly Argument[]): Promise<readonly string[] | null> {
    try {
      return (await this.#scripts.run('commit', args)) as readonly string[]
    } catch (thrown) {
      const { code, message, cause } = storageError(thrown)
      if (code === 'storage_unavailable' || code === 'storage_full') return null
      return ['failed', cause instanceof Error ? cause.message : message]
    }
  }

  #break(error: unknown): false {
    if (!this.#over) {
      this.#over = true
      this.#events.broke(error)
    }
    return false
  }

  #fence(reason: string): false {
    if (!this.#over) {
      this.#over = true
      this.#events.fenced(reason)
    }
    return false
  }
}
