/** What a check of an engine of one's own found: does it work, and how much has it to do? */

export interface EngineCheck {
  /** Null: that can't be told, as what was asked for is not there, or not for us. */
  readonly ok: boolean | null
  /** For people: a few words, none of them the engine's. */
  readonly why: string
  readonly tookMs: number
  /** It counts for so long. */
  readonly holdsMs: number
  /** Requests there, whoever sent them; null: it does not tell. */
  readonly running: number | null
  readonly waiting: number | null
}

export interface CheckReport extends EngineCheck {
  readonly deployment: string
}

/** The last one, as it is told of a deployment. */
export interface CheckStatus extends Pick<EngineCheck, 'ok' | 'why' | 'running' | 'waiting'> {
  readonly agoMs: number
  /** No call starts there because of it, where there is another deployment. */
  readonly isDown: boolean
}
