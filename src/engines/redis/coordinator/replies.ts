/** Queries that wait for their turn, and what is told without a commit: fenced by the term all the same. */
import { storageError } from '../client/errors.ts'
import type { Scripts } from '../client/scripts.ts'
import type { Query } from '../protocol/commands.ts'
import type { Message } from '../protocol/messages.ts'
import { KnownJobs } from './known.ts'
import type { Term } from './parts.ts'
import { answerTo } from './queries.ts'

/** Beyond these they are asked again: whoever asks waits for an answer with a bound. */
const MOST = 10_000

export class Replies {
  readonly #term: Term
  readonly #scripts: Scripts
  readonly #fenced: () => void
  #asked: Query[] = []
  #mails = new Map<string, Message[]>()

  /** `fenced`: another coordinates. */
  constructor(term: Term, scripts: Scripts, fenced: () => void) {
    this.#term = term
    this.#scripts = scripts
    this.#fenced = fenced
  }

  /** True: these are the first that wait. */
  ask(queries: readonly Query[]): boolean {
    const isFirst = this.#asked.length === 0
    if (this.#asked.length < MOST) this.#asked.push(...queries)
    return isFirst && queries.length > 0
  }

  /** Answers all that wait, once all that was decided is committed. */
  async answer(): Promise<void> {
    if (!(await this.#term.journal.settled())) return
    const asked = this.#asked
    this.#asked = []
    let known: KnownJobs
    try {
      known = await KnownJobs.of(asked, this.#term)
    } catch (error) {
      if (storageError(error).code !== 'storage_unavailable') throw error
      return // they are asked again
    }
    for (const query of asked) {
      const answer = answerTo(this.#term, query, known)
      if (answer !== null) this.tell(query.from, answer)
    }
  }

  tell(process: string, message: Message): void {
    const mail = this.#mails.get(process)
    if (mail === undefined) this.#mails.set(process, [message])
    else mail.push(message)
  }

  /** Nobody waits for it: what is lost is asked for again. */
  send(): void {
    if (this.#mails.size === 0) return
    const mails = [...this.#mails].flatMap(([process, mail]) => [process, JSON.stringify(mail)])
    this.#mails = new Map()
    this.#scripts.run('tell', [this.#term.won.term, ...mails]).then(
      (is) => is === 0 && this.#fenced(),
      () => {},
    )
  }
}

/** To what this version can't read. */
export const refusedUnread = (n: number): Message => ({
  type: 'refused',
  n,
  error: {
    code: 'overloaded',
    message: 'The coordinator of this fleet is of another version, and can not do that yet; retry later.',
  },
})
