/** Response headers by a table of characters: no RegExp and no text for a header that nobody asks for. */

/** Of each byte that a name may hold its lower case, of all others 0 (RFC 9110, token). */
const LOWER = new Uint8Array(256)
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") LOWER[c.charCodeAt(0)] = c.charCodeAt(0)
for (let c = 65; c <= 90; c++) LOWER[c] = c + 32

/** Where the name that begins at `from` ends: at its colon; -1 when it is no name. */
export function nameEnd(text: string, from: number, to: number): number {
  let i = from
  while (i < to && LOWER[text.charCodeAt(i)] !== 0) i++
  return i > from && i < to && text.charCodeAt(i) === 58 ? i : -1
}

/** May a value not hold it? Control characters but the tab. */
export const isControl = (c: number): boolean => (c < 32 && c !== 9) || c === 127

/** Names that are looked for, whatever their case. */
export class HeaderNames {
  readonly #byLength: Array<readonly string[] | undefined> = []

  /** In lower case. */
  constructor(names: readonly string[]) {
    for (const [length, same] of Map.groupBy(names, (name) => name.length)) this.#byLength[length] = same
  }

  /** The name at that place, or null. */
  find(text: string, from: number, to: number): string | null {
    for (const name of this.#byLength[to - from] ?? []) {
      let i = 0
      while (i < name.length && LOWER[text.charCodeAt(from + i)] === name.charCodeAt(i)) i++
      if (i === name.length) return name
    }
    return null
  }
}

/** Without the white space around it. By hand: a RegExp that does this tries each start of a long run. */
export function trimmed(text: string, from: number, to: number): string {
  while (from < to && isBlank(text.charCodeAt(from))) from++
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--
  return text.slice(from, to)
}

const isBlank = (c: number): boolean => c === 32 || c === 9
/** Of a list that commas separate. */
export const items = (list: string): string[] => list.split(',').map((item) => trimmed(item, 0, item.length))
