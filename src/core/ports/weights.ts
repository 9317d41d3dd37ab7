/** What requests weigh, in tokens, before a provider has counted them. */
import type { JobId, TenantId } from '../job.ts'

/** An image, a sound or a file. */
export interface Medium {
  /** A data URL, base64, an address, or the id of a file. */
  readonly text: string
  /** The member that it is in: `url`, `data`, `image_url`… */
  readonly name: string
  /** How closely the model is to look, if the request tells. */
  readonly detail: unknown
}

/** What a request brings for its model to read. */
export interface Prompt {
  readonly texts: readonly string[]
  readonly media: readonly Medium[]
  /** The frames of messages, and tokens that were sent as numbers. */
  readonly frameTokens: number
  /** An estimate of JSON's punctuation and common words, where schemas are part of the prompt. */
  readonly syntaxTokens: number
  /** Of the request, what was not looked at: it has too many members. */
  readonly unreadBytes: number
}

/** Whose prompt it is. */
export interface Weighed {
  readonly tenant: TenantId
  /** As its provider calls it. */
  readonly model: string
  /** That it continues: its messages so far are sent, too. As stored. */
  readonly conversation?: string | undefined
  readonly prompt: Prompt
}

/** What a prompt weighs, in tokens. */
export interface Weight {
  /** The best estimate, corrected by what providers reported of earlier prompts. */
  readonly tokens: number
  /** Before that: of the request alone, and not of its conversation. */
  readonly own: number
  /** `own` was counted as the model counts, to the token. */
  readonly exact: boolean
  /** Models that count alike: what is learned, is learned for them. */
  readonly family: string
  /** It teaches something: text alone, with nothing before it. */
  readonly isPlain: boolean
}

/** It waits for nothing and has no clock; what it remembers is how good its estimates were. */
export interface Weights {
  /** Costs at most a millisecond of CPU, whatever the prompt is. */
  weigh(asked: Weighed): Weight
  /** A job was accepted: the usage that its end reports tells how good the estimate was. */
  accepted(job: JobId, asked: Pick<Weighed, 'tenant' | 'conversation'>, weight: Weight): void
}
