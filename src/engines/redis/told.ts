/**
 * What each process holds a copy of: it is told of changes, and looks for those that it was not told of every few
 * seconds and after each cut.
 */
import { sleep } from '../../core/clock.ts'
import type { Ground } from './bus/ground.ts'
import { storageError } from './client/errors.ts'

/** It looks this often, and, where it could not, this soon again. */
const LOOK_MS = 4_000
const RETRY_MS = 1_000
/** Whoever asks for what is not there makes it look no more often. */
const REFRESH_MS = 50

export type ToldParts = Pick<Ground, 'names' | 'commands' | 'scripts' | 'subscriber' | 'clock' | 'emit'>

/** Reads what is stored, unless that is still this version; '': it may be anything. Resolves with the version read. */
type Read = (version: string) => Promise<string>

export class Told {
  readonly #parts: ToldParts
  readonly #readOnce: Read
  #version = ''
  /** Redis may have forgotten changes since: its version says nothing. */
  #doubts = false
  #trustedMono = -Infinity
  #looking: Promise<void> | null = null
  /** What is being read may be older than a change that was told meanwhile. */
  #lookAgain = false
  /** Looks that somebody waits for: the one that is yet to begin, and the last that has begun. */
  #nextRefresh: Promise<void> | null = null
  #refresh: Promise<void> = Promise.resolve()
  #refreshedMono = -REFRESH_MS
  #stopTimer = (): void => {}
  #closed = false

  constructor(parts: ToldParts, read: Read) {
    this.#parts = parts
    this.#readOnce = read
  }

  /** Resolves when it has looked, and is told. Rejects with storage_unavailable. */
  async open(channel: string): Promise<void> {
    const { commands, subscriber } = this.#parts
    await subscriber.subscribe(channel, () => this.lookSoon())
    const turned = (back: boolean): void => {
      this.#doubts = true
      if (back) this.lookSoon()
    }
    commands.onTurn(turned)
    subscriber.onTurn(turned)
    await this.look()
  }

  get version(): string {
    return this.#version
  }

  /** How old what is known may be. */
  get ageMs(): number {
    return this.#parts.clock.monoMs() - this.#trustedMono
  }

  /** Resolves when what was stored at the call is known. Rejects with storage_unavailable. */
  look(): Promise<void> {
    this.#lookAgain = this.#looking !== null
    this.#looking ??= this.#read().finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  /** As `look`, for many who ask: 20 looks a second. */
  refresh(): Promise<void> {
    this.#nextRefresh ??= this.#refreshInTurn()
    return this.#nextRefresh
  }

  lookSoon(): void {
    if (this.#closed) return
    this.look().catch(() => {}) // tried again by its timer
  }

  /** While it reads: what was read is no longer so. */
  readAgain(): void {
    this.#lookAgain = true
  }

  close(): void {
    this.#closed = true
    this.#stopTimer()
  }

  /** Of those that wait none waits for a look that others, who come later, make last longer. */
  async #refreshInTurn(): Promise<void> {
    const { clock } = this.#parts
    await this.#refresh.catch(() => {})
    await sleep(clock, Math.max(0, this.#refreshedMono + REFRESH_MS - clock.monoMs()))
    this.#refreshedMono = clock.monoMs()
    this.#nextRefresh = null
    this.#refresh = this.look()
    return this.#refresh
  }

  async #read(): Promise<void> {
    this.#stopTimer()
    try {
      do {
        this.#lookAgain = false
        const askedMono = this.#parts.clock.monoMs()
        if (this.#doubts) this.#version = ''
        this.#doubts = false
        this.#version = await this.#readOnce(this.#version)
        this.#trustedMono = askedMono
      } while (this.#lookAgain)
      this.#lookIn(LOOK_MS)
    } catch (error) {
      this.#lookIn(RETRY_MS)
      throw storageError(error)
    }
  }

  #lookIn(ms: number): void {
    this.#stopTimer()
    if (!this.#closed) this.#stopTimer = this.#parts.clock.after(ms, () => this.lookSoon())
  }
}

/** As a script returns a hash. */
export function pairs(flat: readonly string[]): ReadonlyArray<readonly [string, string]> {
  const all: Array<readonly [string, string]> = []
  for (let i = 0; i < flat.length; i += 2) all.push([flat[i], flat[i + 1]])
  return all
}

/** There is nothing, or it was lost; or an older version has moved it here. */
export const NEVER_CHANGED = '0'
/** Things that one script removes, or gives back. */
export const MOST_A_CALL = 500
/** A change that others were faster than is made anew. */
const MOST_TRIES = 20

/** Calls `attempt` until it was made of what is stored; it resolves with null where something else was stored. */
export async function inTurn<T>(told: Told, attempt: () => Promise<T | null>): Promise<T> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    await told.look()
    const made = await attempt()
    if (made !== null) return made
  }
  throw storageError(new Error('too many changes at once'))
}
