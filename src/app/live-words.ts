/** The last words of a job's answer, from its log: for dashboards that may show texts. */
import { isRecord } from '../core/json.ts'
import type { TokenLog } from '../core/ports/log.ts'

/** Of the log's end: enough for the words, whatever else is in between. */
const RECORDS = 48
const MAX_BYTES = 16 * 1024
const MAX_CHARS = 120

/** Null: it has none. */
export async function lastWords(log: Pick<TokenLog, 'head' | 'read'>, job: string): Promise<string | null> {
  const head = await log.head(job)
  if (head === null) return null
  const page = await log.read(job, Math.max(0, head.head - RECORDS), MAX_BYTES)
  let text = ''
  for (const record of page?.records ?? []) text += textIn(record)
  const words = text.replace(/\s+/g, ' ').trim()
  return words === '' ? null : words.length > MAX_CHARS ? `…${words.slice(1 - MAX_CHARS)}` : words
}

function textIn(record: string): string {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(record, 'latin1').toString('utf8'))
  } catch {
    return ''
  }
  const choice: unknown = isRecord(value) && Array.isArray(value['choices']) ? value['choices'][0] : null
  if (!isRecord(choice)) return ''
  const said = choice['delta'] ?? choice['message']
  return isRecord(said) && typeof said['content'] === 'string' ? said['content'] : ''
}
