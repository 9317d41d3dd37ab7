/** What a LiteLLM file says, read as it is meant: numbers as texts, references, words that are no secrets. */
import { isRecord, type JsonRecord } from '../../core/json.ts'

export interface Note {
  /** "model_list[2].litellm_params.mock_response". */
  readonly where: string
  readonly why: string
  readonly todo: string
}

const LEFT_OUT = ': the entry is left out'

/** Why an entry is not there. */
export const leftOut = (why: string): string => `${why}${LEFT_OUT}`
export const isLeftOut = ({ why }: Note): boolean => why.endsWith(LEFT_OUT)

/** What has no counterpart, or is not the same: of each kind once for each place, and not without end. */
export class Notes {
  readonly all: Note[] = []
  left = 0

  add(where: string, why: string, todo: string): void {
    if (this.all.length < MAX_NOTES) this.all.push({ where: shown(where), why, todo })
    else this.left++
  }
}

const MAX_NOTES = 2_000
const MAX_SHOWN = 120

/** Of a name in somebody's file: one line, not long. */
export const shown = (text: string): string => {
  const line = text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?')
  return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN)}…` : line
}

export const recordOf = (value: unknown): JsonRecord => (isRecord(value) ? value : {})
export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
export const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)

export function numberOf(value: unknown): number | null {
  const number = typeof value === 'string' && /^\d[\d_]*(\.\d+)?(e[+-]?\d+)?$/i.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) && number >= 0 ? number : null
}

/** A whole number of 1 and more. */
export function countOf(value: unknown): number | null {
  const number = numberOf(value)
  return number === null || number < 1 ? null : Math.min(Math.floor(number), MOST)
}
const MOST = 1e12

/** Seconds, as milliseconds. */
export function millisecondsOf(value: unknown): number | null {
  const seconds = numberOf(value)
  return seconds === null || seconds === 0 ? null : Math.min(Math.ceil(seconds * 1_000), MOST)
}

const REFERENCE = /^os\.environ\/([A-Za-z_]\w{0,127})$/

/** The variable that `os.environ/NAME` refers to; null: it is something else. */
export const variableOf = (value: unknown): string | null =>
  typeof value === 'string' ? (REFERENCE.exec(value.trim())?.[1] ?? null) : null

export interface Reference {
  readonly env: string
}

/** Names for secrets that stand in the file: the same value is the same name, and no name is taken twice. */
export class Secrets {
  /** Names that were made here, with the place where each value was found. */
  readonly moved = new Map<string, string>()
  readonly #taken: Set<string>
  readonly #byValue = new Map<string, string>()

  /** `referred`: names that the file has. */
  constructor(referred: Iterable<string>) {
    this.#taken = new Set(referred)
  }

  /** Null: nothing is given. The value goes nowhere. */
  reference(value: unknown, wanted: string, where: string): Reference | null {
    const variable = variableOf(value)
    if (variable !== null) return { env: variable }
    const literal = textOf(value)
    if (literal === null) return null
    const known = this.#byValue.get(literal)
    if (known !== undefined) return { env: known }
    let name = wanted
    for (let n = 2; this.#taken.has(name); n++) name = `${wanted}_${n}`
    this.#taken.add(name)
    this.#byValue.set(literal, name)
    this.moved.set(name, shown(where))
    return { env: name }
  }
}

/** All variables that are referred to, anywhere. */
export function variablesIn(value: unknown, found: Set<string> = new Set()): ReadonlySet<string> {
  const name = variableOf(value)
  if (name !== null) found.add(name)
  if (typeof value === 'object' && value !== null) for (const each of Object.values(value)) variablesIn(each, found)
  return found
}
