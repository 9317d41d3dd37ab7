/** What batches of this process are counted by. */
import { ERRORS } from '../core/errors.ts'
import { isRecord } from '../core/json.ts'
import { type Counter, counter, counters, type Family, gauge, type Metric } from '../core/numbers.ts'
import type { ResultLine } from './results.ts'

/** Of one that is worked on. */
export interface Progress {
  readonly createdAtMs: number
  /** In line, or running. */
  readonly flying: number
  /** In their file still. */
  readonly waiting: number
}

export interface Looked {
  readonly running: () => readonly Progress[]
  readonly wallMs: () => number
  /** As of the last look. */
  readonly overdueMs: () => number
  readonly unfinished: () => number
}

export class Figures {
  readonly done: Counter = counter('batch_lines_done', 'Lines of batches that were answered')
  readonly failed: Family<Counter> = counters('batch_lines_failed', 'Lines of batches that have no answer', 'code')
  readonly metrics: readonly Metric[]

  constructor({ running, wallMs, overdueMs, unfinished }: Looked) {
    const sum = (of: (one: Progress) => number) => (): number => running().reduce((all, one) => all + of(one), 0)
    const oldestMs = (): number => Math.max(0, ...running().map(({ createdAtMs }) => wallMs() - createdAtMs))
    this.metrics = [
      gauge('running_batches', 'Batches that this process works on', () => running().length),
      gauge('unfinished_batches', 'Batches of the store that have not ended', unfinished, 'max'),
      gauge('oldest_batch_ms', 'Age of the oldest batch that a process works on', oldestMs, 'max'),
      gauge('overdue_batches_ms', 'How long the batch that waits longest waits for its turn', overdueMs, 'max'),
      gauge(
        'running_batch_lines',
        'Lines of batches that are in line or run',
        sum(({ flying }) => flying),
      ),
      gauge(
        'waiting_batch_lines',
        'Lines of running batches that wait in their file',
        sum(({ waiting }) => waiting),
      ),
      this.done,
    ]
  }

  count(line: ResultLine): void {
    if (line.error === null && line.response !== null && line.response.status_code < 400) this.done.add()
    else this.failed.of(codeOf(line)).add()
  }
}

/** Of a fixed list, as it is a label: a provider's own codes are told as their status. */
function codeOf({ error, response }: ResultLine): string {
  if (error !== null) return error.code
  const body = isRecord(response!.body) && isRecord(response!.body['error']) ? response!.body['error'] : {}
  const code = body['sluice_code'] ?? body['code']
  return typeof code === 'string' && Object.hasOwn(ERRORS, code) ? code : `http_${response!.status_code}`
}
