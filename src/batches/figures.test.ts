/** How many lines there are, and what those are counted as that have no answer. */
import { expect, it } from 'vitest'
import { numbersOf } from '../../test/conformance/words.ts'
import { Figures, type Progress } from './figures.ts'
import type { ResultLine } from './results.ts'

const line = (status_code: number, body: unknown = {}): ResultLine => ({
  ...{ id: 'batch_req_1_1', custom_id: 'a', error: null },
  response: { status_code, request_id: null, body },
})

it('lines are counted by a code of ours, or their status', () => {
  const figures = new Figures({ running: () => [], wallMs: () => 0, overdueMs: () => 0, unfinished: () => 0 })
  const expired = { code: 'batch_expired', message: '' }
  for (const one of [
    line(200),
    line(200, { error: { code: 'poison_job' } }),
    line(404, { error: { code: 'model_not_found' } }),
    line(429, { error: { code: 'rate_limit_exceeded', sluice_code: 'provider_rejected' } }),
    line(418, { error: { code: `its own ${'x'.repeat(1_000)}` } }),
    line(418, { error: { code: 'toString' } }),
    line(500, 'no object'),
    { ...line(200), response: null, error: expired },
  ])
    figures.count(one)
  expect(figures.done.value).toBe(2)
  expect(figures.failed.members.map(({ labels, value }) => [labels![0][1], value])).toEqual([
    ['model_not_found', 1],
    ['provider_rejected', 1],
    ['http_418', 2],
    ['http_500', 1],
    ['batch_expired', 1],
  ])
})

it('what runs and waits is summed, and the oldest is told', () => {
  let running: readonly Progress[] = []
  const looked = { running: () => running, wallMs: () => 1_000, overdueMs: () => 7, unfinished: () => 9 }
  const figures = new Figures(looked)
  expect(numbersOf(figures)).toMatchObject({ oldest_batch_ms: 0, running_batches: 0, waiting_batch_lines: 0 })
  running = [
    { createdAtMs: 900, flying: 2, waiting: 3 },
    { createdAtMs: 400, flying: 4, waiting: 0 },
  ]
  expect(numbersOf(figures)).toEqual({
    ...{ running_batches: 2, unfinished_batches: 9, oldest_batch_ms: 600, overdue_batches_ms: 7 },
    ...{ running_batch_lines: 6, waiting_batch_lines: 3, batch_lines_done: 0 },
  })
})
