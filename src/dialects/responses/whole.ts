/** The response object: as the answer to its request, and as a resource. */

import type { Rendering, Reply, Resource, Sealing, WholeAnswer } from '../../core/ports/dialect.ts'
import { type Bytes, type End, isEnd, parseEnd, toBytes } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { wholeAnswer } from '../whole.ts'
import { jobOfResponse, responseId } from './ids.ts'
import { inputsOf } from './inputs.ts'
import { responseOf, statusOf } from './object.ts'
import { advance, finish, NO_PROGRESS, outputOf } from './progress.ts'
import { type Shown, shownBy } from './thought.ts'

class Answer {
  readonly #job: Shown
  #progress = NO_PROGRESS

  constructor(job: Shown) {
    this.#job = job
  }

  push(record: Bytes): void {
    this.#progress = advance(this.#job, this.#progress, record).progress
  }

  body(end: End): Bytes {
    const { finish: reason } = this.#progress.blocks
    const status = statusOf(end, reason)
    const { progress } = finish(this.#job, this.#progress, status)
    return toBytes(JSON.stringify(responseOf(this.#job, { status, output: outputOf(progress), end, finish: reason })))
  }
}

export const whole =
  (sealing: Sealing) =>
  (job: Rendering): WholeAnswer => {
    const answer = new Answer(shownBy(sealing)(job))
    return wholeAnswer(errorJson, {
      passesDocuments: false,
      push: (record) => answer.push(record),
      body: (end) => answer.body(end),
    })
  }

/** However it ended. */
function ended(job: Shown): WholeAnswer {
  const answer = new Answer(job)
  let end: End | null = null
  return {
    take(records) {
      for (const record of records)
        if (isEnd(record)) end = parseEnd(record)
        else answer.push(record)
    },
    reply: (): Reply => ({ status: 200, headers: {}, body: answer.body(end ?? { state: 'failed' }) }),
  }
}

const NO_OUTPUT = { output: [], end: null, finish: null }

export const resource = (sealing: Sealing): Resource => ({
  what: 'response',
  idOf: responseId,
  jobOf: jobOfResponse,
  isKept: ({ shownAs }) => shownAs?.['store'] !== false,
  streamed: 'stream',
  after: 'starting_after',
  query: ['include', 'include[]', 'include_obfuscation'],
  // Their numbers begin at 0
  known: (after) => after + 1,
  pending: (job, state) =>
    toBytes(JSON.stringify(responseOf(job, { ...NO_OUTPUT, status: state === 'leased' ? 'in_progress' : 'queued' }))),
  ended: (job) => ended(shownBy(sealing)(job)),
  deleted: (job) => toBytes(JSON.stringify({ id: responseId(job), object: 'response', deleted: true })),
  inputs: (job, request, page) => toBytes(JSON.stringify(inputsOf(job, request, page))),
})
