/** Finds what guards look for in a text that may still grow. */

/** Characters of an unfinished match that are held back at most; see `Found.openFrom`. */
export const MAX_HELD = 128

/** Counts the characters at the beginning of a text that still belong to a match; fewer than all: it has ended. */
export type Swallow = (text: string) => number

export interface Match {
  readonly from: number
  readonly to: number
  /** What was found, by its name in the documentation. */
  readonly rule: string
  /** It is too long to be held back, and goes on after the text: what follows belongs to it. */
  readonly goesOn?: () => Swallow
}

export interface Found {
  /** In the order of their beginnings, without overlaps. */
  readonly matches: readonly Match[]
  /** From here on the text may belong to a match that isn't complete; its length where there is none. */
  readonly openFrom: number
}

export interface Finder {
  /**
   * What begins at `from` or later; what is before was decided, and tells where words begin. `isOpen`: the text may go
   * on. Takes time in proportion to the text.
   */
  find(text: string, from: number, isOpen: boolean): Found
}
