/** Whether a file is one of requests, before the first of them runs. */
import type { BatchError } from '../core/batch.ts'
import { isBad, type LineRules, linesOf, readLine } from './lines.ts'

export interface FileRules extends LineRules {
  readonly maxLines: number
}

const MAX_ERRORS = 100

/** Its lines, or what is wrong with them; `turn` is awaited at each, and stops it by false: null. */
export async function validated(
  chunks: AsyncIterable<Uint8Array>,
  rules: FileRules,
  turn: (line: number) => Promise<boolean> | boolean,
): Promise<{ readonly total: number; readonly errors: readonly BatchError[] } | null> {
  const { maxLines, maxBytes } = rules
  const errors: BatchError[] = []
  const names = new Set<string>()
  let isEmpty = true
  for await (const { line, bytes } of linesOf(chunks, maxBytes)) {
    if (!(await turn(line))) return null
    if (bytes?.length === 0) continue
    isEmpty = false
    if (line > maxLines) {
      const message = `A batch may have ${maxLines} lines (batches.max_lines).`
      errors.push({ code: 'too_many_lines', message, line, param: null })
      break
    }
    const read = readLine(bytes, rules)
    if (isBad(read)) errors.push({ ...read, line })
    else if (names.has(read.customId)) {
      const message = 'Another line has the same "custom_id".'
      errors.push({ code: 'duplicate_custom_id', message, line, param: 'custom_id' })
    } else names.add(read.customId)
    if (errors.length >= MAX_ERRORS) break
  }
  if (isEmpty) errors.push({ code: 'empty_file', message: 'The file has no lines.', line: null, param: null })
  return { total: names.size, errors }
}
