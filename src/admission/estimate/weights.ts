/**
 * What prompts weigh. It learns from the ends of the jobs that this process accepted and hears the end of; a restart
 * begins anew.
 */
import { BYTES_PER_TOKEN } from '../../core/estimate.ts'
import type { JobId, JobState, TenantId, Timing, Usage } from '../../core/job.ts'
import type { Weights as Port, Prompt, Weighed, Weight } from '../../core/ports/weights.ts'
import { Table } from '../../core/table.ts'
import { Factors } from './factors.ts'
import { familyOf, isO200k, plainName } from './family.ts'
import { mediaTokens } from './media.ts'
import { countTexts } from './text.ts'
import type { Vocabulary } from './vocabulary.ts'

/** Jobs that have not ended, and conversations: as many at least are remembered. */
const MAX_REMEMBERED = 10_000

/** While so many jobs are remembered, of others that are in no conversation every so many-th is. */
const [FEW, ONE_OF] = [16, 16]

/** Of a job. */
export interface Ended {
  readonly state: JobState
  readonly usage?: Usage
  readonly timing?: Timing
}

interface Kind {
  readonly model: string
  readonly name: string
  readonly family: string
}

interface Sent {
  readonly tenant: TenantId
  readonly family: string
  readonly own: number
  readonly conversation: string | undefined
}

export class Weights implements Port {
  readonly #vocabulary: Vocabulary
  readonly #salt: number
  readonly #factors = new Factors()
  #kind: Kind = { model: '', name: '', family: '' }
  readonly #sent = new Recent<Sent>()
  #passed = 0
  /** Tokens of a conversation that its next turn brings along, as its last one was reported. */
  readonly #conversations = new Recent<number>()

  /** `salt`: an integer that clients don't know. */
  constructor(vocabulary: Vocabulary, salt: number) {
    this.#vocabulary = vocabulary
    this.#salt = salt
  }

  weigh({ tenant, model, conversation, prompt }: Weighed): Weight {
    const { name, family } = this.#kindOf(model)
    const { tokens, exact } = this.#count(prompt, name)
    const before =
      conversation === undefined ? undefined : this.#conversations.get(conversationKey(tenant, conversation))
    const corrected = tokens * this.#factors.get(tenant, family)
    return {
      tokens: Math.max(1, Math.round(corrected) + (before ?? 0)),
      own: tokens,
      exact: exact && isO200k(name),
      family,
      isPlain: conversation === undefined && prompt.media.length === 0 && prompt.unreadBytes === 0,
    }
  }

  /** Most requests are for the model of the one before: then they share its strings, too. */
  #kindOf(model: string): Kind {
    if (model !== this.#kind.model) {
      const name = plainName(model)
      this.#kind = { model, name, family: familyOf(name) }
    }
    return this.#kind
  }

  #count({ texts, media, frameTokens, syntaxTokens, unreadBytes }: Prompt, name: string) {
    const text = countTexts(texts, this.#vocabulary, this.#salt)
    const sum = text.tokens + frameTokens + syntaxTokens + mediaTokens(media, name)
    return {
      tokens: sum + Math.ceil(unreadBytes / BYTES_PER_TOKEN),
      exact: text.exact && media.length === 0 && syntaxTokens === 0 && unreadBytes === 0,
    }
  }

  accepted(
    job: JobId,
    { tenant, conversation }: Pick<Weighed, 'tenant' | 'conversation'>,
    { own, family, isPlain }: Weight,
  ): void {
    if (conversation !== undefined || (isPlain && this.#isSampled()))
      this.#sent.set(job, { tenant, family, own, conversation })
  }

  /** Of many at once a few teach as much, and what is remembered of each outlives it until a major collection. */
  #isSampled(): boolean {
    return this.#sent.size < FEW || ++this.#passed % ONE_OF === 0
  }

  /** May be called again for the same job. */
  ended(job: JobId, end: () => Ended): void {
    const sent = this.#sent.take(job)
    if (sent === undefined) return
    const { state, usage, timing } = end()
    // The usage of several attempts is their sum
    if (state !== 'done' || usage === undefined || timing?.attempts !== 1) return
    const { promptTokens, completionTokens, reasoningTokens = 0, estimated } = usage
    if (sent.conversation !== undefined)
      this.#conversations.set(
        conversationKey(sent.tenant, sent.conversation),
        promptTokens + Math.max(0, completionTokens - reasoningTokens),
      )
    else if (!estimated) this.#factors.learn(sent.tenant, sent.family, sent.own, promptTokens)
  }
}

const conversationKey = (tenant: TenantId, conversation: string): string => `${tenant}\n${conversation}`

/** What was set last. It forgets half of it at a time. */
class Recent<V extends object | number> {
  #young = new Table<string, V>()
  #old = new Table<string, V>()

  get size(): number {
    return this.#young.size + this.#old.size
  }

  get(key: string): V | undefined {
    return this.#young.get(key) ?? this.#old.get(key)
  }

  take(key: string): V | undefined {
    const value = this.get(key)
    if (!this.#young.delete(key)) this.#old.delete(key)
    return value
  }

  set(key: string, value: V): void {
    if (this.#young.size >= MAX_REMEMBERED) {
      this.#old = this.#young
      this.#young = new Table()
    }
    this.#young.set(key, value)
  }
}
