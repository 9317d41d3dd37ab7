/**
 * Published traces: when requests came, and how long they and their answers were. Prompts are made up in these lengths;
 * what the trace knows of shared beginnings (Mooncake's blocks) is kept.
 */
import { seedOf } from '../random.ts'
import { jsonLines, listed } from './lines.ts'
import { words } from './words.ts'
import { type Workload, WorkloadError } from './workload.ts'

/** Longer prompts are shortened to this. */
const MAX_PROMPT_TOKENS = 131_072
const MAX_ANSWER_TOKENS = 32_768
const BLOCK_TOKENS = 512

export const TRACES = ['mooncake', 'azure', 'burstgpt'] as const
export type Trace = (typeof TRACES)[number]

/** A request of the trace, without its text. */
interface Traced {
  readonly promptTokens: number
  /** Mooncake's blocks; none: its text is its own. */
  readonly blocks: readonly number[]
  readonly line: number
  readonly maxTokens: number
  readonly atMs: number
}

/** Throws WorkloadError, which names the line. */
export function trace(kind: Trace, text: string, seed: number): Workload {
  const read = { mooncake, azure, burstgpt }[kind]
  const traced = read(text.replace(/^\ufeff/, ''))
  if (traced.length === 0) throw new WorkloadError('the trace has no requests')
  return listed(
    `trace:${kind}`,
    traced.sort((a, b) => a.atMs - b.atMs),
    (each) => [{ role: 'user', content: textOf(each, seed) }],
  )
}

const traced = (line: number, promptTokens: number, answer: number, atMs: number, blocks: readonly number[] = []) => ({
  promptTokens: Math.min(promptTokens, MAX_PROMPT_TOKENS),
  blocks,
  line,
  maxTokens: Math.min(Math.max(1, answer), MAX_ANSWER_TOKENS),
  atMs,
})

/** Of its blocks: the same block is the same text, so that beginnings are shared as in the trace. */
function textOf({ blocks, promptTokens, line }: Traced, seed: number): string {
  if (blocks.length === 0) return words(promptTokens, seedOf(seed, line))
  let left = promptTokens
  const texts: string[] = []
  for (const id of blocks) {
    if (left <= 0) break
    // A part of a block begins as the whole one does
    texts.push(words(Math.min(left, BLOCK_TOKENS), seedOf(seed, id)))
    left -= BLOCK_TOKENS
  }
  return texts.join(' ')
}

/** JSON lines: {timestamp (ms), input_length, output_length, hash_ids}, a hash for each block of 512 tokens. */
function mooncake(text: string): Traced[] {
  return jsonLines(text).map(({ value, number }) => {
    const ids = value['hash_ids'] ?? []
    if (!Array.isArray(ids) || !ids.every((id) => Number.isSafeInteger(id)))
      throw new WorkloadError(`line ${number}: hash_ids must be a list of whole numbers`)
    const length = whole(value['input_length'], 'input_length', number)
    const answer = whole(value['output_length'], 'output_length', number)
    return traced(number, length, answer, time(value['timestamp'], 'timestamp', number), ids as number[])
  })
}

/** CSV: TIMESTAMP,ContextTokens,GeneratedTokens; the time as a date ("2023-11-16 18:17:03.9799600"). */
function azure(text: string): Traced[] {
  const columns = ['TIMESTAMP', 'ContextTokens', 'GeneratedTokens']
  return Array.from(rows(text, columns), ({ cells: [at, context, made], number }) => {
    // Seven digits of a second are more than dates take
    const atMs = Date.parse(
      `${at
        .trim()
        .replace(' ', 'T')
        .replace(/(\.\d{3})\d*/, '$1')
        .replace(/Z?$/, '')}Z`,
    )
    const ms = /^\d+(\.\d+)?$/.test(at.trim()) ? Number(at) * 1_000 : atMs
    if (Number.isNaN(ms)) throw new WorkloadError(`line ${number}: TIMESTAMP is no date and time`)
    const length = whole(context, 'ContextTokens', number)
    return traced(number, length, whole(made, 'GeneratedTokens', number), ms)
  })
}

/** CSV: Timestamp (s),Model,Request tokens,Response tokens,Total tokens,Log Type; requests that failed are left out. */
function burstgpt(text: string): Traced[] {
  const found: Traced[] = []
  const columns = ['Timestamp', 'Request tokens', 'Response tokens']
  for (const { cells, number } of rows(text, columns)) {
    const [at, asked, made] = cells
    const answer = whole(made, 'Response tokens', number)
    if (answer === 0) continue
    const length = whole(asked, 'Request tokens', number)
    found.push(traced(number, length, answer, time(at, 'Timestamp', number) * 1_000))
  }
  return found
}

interface Row {
  readonly cells: readonly string[]
  readonly number: number
}

/** Cells of these columns, by the names of the first line; a file in which one is missing is refused. */
function* rows(text: string, columns: readonly string[]): Iterable<Row> {
  const lines = text.split(/\r?\n/)
  const names = cellsOf(lines[0] ?? '').map((name) => name.trim().toLowerCase())
  const places = columns.map((column) => names.indexOf(column.toLowerCase()))
  const missing = columns.filter((_, i) => places[i] < 0)
  if (missing.length > 0)
    throw new WorkloadError(`the first line must name the columns: ${missing.join(', ')} is missing`)
  for (let i = 1; i < lines.length; i++) {
    if (lines[i].trim() === '') continue
    const cells = cellsOf(lines[i])
    if (cells.length < names.length)
      throw new WorkloadError(`line ${i + 1} has ${cells.length} cells, the first line has ${names.length}`)
    yield { cells: places.map((place) => cells[place]), number: i + 1 }
  }
}

/** These traces quote nothing but, at times, everything. */
const cellsOf = (line: string): string[] => line.split(',').map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'))

/** Pandas writes whole numbers as "374.0" once a column has had a gap. */
function whole(value: unknown, name: string, number: number): number {
  const found = typeof value === 'string' && /^\s*\d+(\.0+)?\s*$/.test(value) ? Number(value) : value
  if (Number.isSafeInteger(found) && (found as number) >= 0) return found as number
  throw new WorkloadError(`line ${number}: ${name} must be a whole number`)
}

function time(value: unknown, name: string, number: number): number {
  const found = typeof value === 'string' && /^\s*\d+(\.\d+)?\s*$/.test(value) ? Number(value) : value
  if (typeof found === 'number' && Number.isFinite(found) && found >= 0) return found
  throw new WorkloadError(`line ${number}: ${name} must be a time, as a number`)
}
