/**
 * What a store holds, in the words of no store: to be moved to another engine, or kept in a file. It comes in sections,
 * one for each kind of thing. Whoever stores a new kind of thing describes it once, and every engine that holds it
 * gives a source and a sink.
 */

/** One thing: plain JSON, and the bytes that belong to it. */
export interface Item<T extends object = object> {
  readonly value: T
  readonly blob: Uint8Array
}

/** A kind of thing, the same for all stores. */
export interface Kind<T extends object = object> {
  readonly name: string
  /** Raised when a reader of the version before would misunderstand what is written now. */
  readonly version: number
  /** Is it one, with all members that a sink reads? */
  fits(value: object, blob: Uint8Array): value is T
  /** What must be the same wherever it is stored: texts and bytes, in their order. Throws where it is damaged. */
  same(item: Item<T>): Iterable<string | Uint8Array>
}

/** All of one kind, in the same order on every engine. */
export interface Source<T extends object = object> {
  readonly kind: Kind<T>
  read(): Iterable<Item<T>> | AsyncIterable<Item<T>>
}

export interface Sink<T extends object = object> {
  readonly kind: Kind<T>
  /** Resolves when they are written. Called with the items in their order, batch by batch. */
  write(items: ReadonlyArray<Item<T>>): void | Promise<void>
}

/** A store at rest, or a snapshot of one that runs. */
export interface Held {
  /** "the data folder ./sluice-data" */
  readonly name: string
  readonly sources: readonly Source[]
  /** What was left out because it is damaged, a sentence each; grows while it is read. */
  readonly damaged: readonly string[]
  /** Rejects with in_use where somebody may have changed it since it is held. */
  confirm(): Promise<void>
  close(): Promise<void>
}

/** An empty store that is being filled. Nobody can use it before it is finished. */
export interface Filling {
  readonly name: string
  readonly sinks: readonly Sink[]
  /** What it holds by now, to be compared. */
  readonly sources: readonly Source[]
  /** It is whole, and may be used. */
  finish(): Promise<void>
  /** Leaves nothing of it behind where it was not finished. */
  close(): Promise<void>
}
