/** Random calls of all scripts, many of them in order and some not. */
import type { UsageRecord } from '../../../src/core/usage-record.ts'
import type { Argument } from '../../../src/engines/redis/client/connection.ts'
import type { Names } from '../../../src/engines/redis/client/names.ts'
import { Commit } from '../../../src/engines/redis/coordinator/commit.ts'
import { writeChunk, writeFrame } from '../../../src/engines/redis/log/chunk.ts'
import type { Random } from '../random.ts'
import type { Database } from './database.ts'
import type { Reply } from './model.ts'

/** Processes, of which the last is deaf; hosts, likewise. */
export const PROCESSES = ['2-p1', '2-p2', '1-p3'] as const
export const HOSTS = ['h1', 'h2', 'h3'] as const
const [P1, P2, P3] = PROCESSES
const JOBS = ['j1', 'j2', 'j3', 'j4']

export class Calls {
  readonly #draw: Random
  readonly #names: Names
  readonly #db: Database
  /** Of the commits that follow. */
  term = ''
  number = 0
  epoch = 1
  /** Of each log: chunks, and its last seq, about. */
  readonly #written = new Map<string, { chunks: number; seq: number }>()

  constructor(draw: Random, names: Names, db: Database) {
    this.#draw = draw
    this.#names = names
    this.#db = db
  }

  /** What the script answered. */
  answered(name: string, reply: Reply): void {
    if (name === 'takeover' && (reply as Reply[])[0] === 1) {
      ;[, this.term, this.epoch] = reply as [number, string, number]
      this.number = 0
    }
    if (name === 'commit' && (reply as Reply[])[0] === 'ok') this.number++
  }

  /** A script, and its arguments. */
  next(): readonly [name: string, args: readonly Argument[]] {
    const draw = this.#draw
    const id = draw.of(JOBS)
    const process = draw.of(PROCESSES)
    const dice = draw.below(1_000) / 10
    if (dice < 5)
      return ['takeover', [draw.of(HOSTS), 600_000, draw.of(['', ...HOSTS]), draw.below(1_000), draw.of([1, 2, 2])]]
    if (dice < 9) return ['renew', [draw.of(HOSTS), draw.of([this.term, '0.x']), 600_000, draw.below(1_000)]]
    if (dice < 9.5) return ['join', []]
    if (dice < 10) return ['tell', [draw.of([this.term, '0.x']), draw.of(PROCESSES), 'one', draw.of(PROCESSES), '']]
    if (dice < 11) return ['inbox', [`[{"n":${draw.below(100)}}]`]]
    if (dice < 13) return ['release', [draw.of(HOSTS)]]
    if (dice < 40) return ['commit', this.#commit()]
    if (dice < 70) return ['append', this.#append()]
    if (dice < 74) return ['submit', this.#submit()]
    if (dice < 76) return ['submit-end', JOBS.filter(() => draw.chance(0.5))]
    if (dice < 80) return ['jobs-get', JOBS.filter(() => draw.chance(0.5))]
    if (dice < 90) {
      const after = draw.of([-1, 0, 1, 2, 3, 5, 9, Number.MAX_SAFE_INTEGER])
      const one = [id, after, draw.of([0, 30, 1e6]), draw.below(2), draw.of(['', process])]
      return ['log-read', [draw.below(9), ...one, ...(draw.chance(0.3) ? one : [])]]
    }
    if (dice < 91) return ['log-missing', [draw.below(9), id]]
    if (dice < 94) return ['log-look', [draw.of(['', process]), ...JOBS.filter(() => draw.chance(0.5))]]
    if (dice < 96) return ['log-leave', [process, ...JOBS.filter(() => draw.chance(0.5))]]
    if (dice < 98) return ['log-common', [id, draw.of([this.epoch, 1, 7])]]
    if (dice < 99) return ['layout', [draw.of([this.term, '0.x']), draw.of([1, 2, 3]), this.#names.processes()]]
    return ['heard', PROCESSES.filter(() => draw.chance(0.5))]
  }

  #commit(): readonly Argument[] {
    const draw = this.#draw
    const commit = new Commit()
    commit.keepFrom = draw.of([null, '0-1', '9999999999999-0'])
    for (const id of JOBS) {
      if (draw.chance(0.25)) {
        commit.live(id, `{"i":"${id}"}`, draw.chance(0.3) ? ['a', 'b'] : [])
        const key = draw.chance(0.3) ? this.#names.key('t', draw.of(['k1', 'k2'])) : ''
        commit.taken.push({ id, key, value: key === '' ? '' : `${id} digest`, turn: null })
      }
      if (draw.chance(0.3)) commit.used.add(this.#used(id), draw.of([1e12, 1e12 + 86_400_000]))
      if (draw.chance(0.2)) commit.level(`["user","t","${id}"]`, draw.of([null, '{"t":1}']))
      if (draw.chance(0.4)) commit.run(id, `${draw.of([0, 1, 1, 2])} ${draw.of(PROCESSES)}.1 {}`)
      if (draw.chance(0.12)) {
        const state = draw.of(['done', 'failed'])
        const end = { id, record: `@end {"state":"${state}"}`, tenant: draw.of(['t', 'u']), state }
        const times = {
          seq: draw.below(100),
          endedAtMs: draw.below(1_000_000),
          text: '{"n":1}',
          bodyBytes: 9,
          joinMs: 60_000,
        }
        commit.filesLater = draw.chance(0.5)
        const join = state === 'done' ? draw.of(['', 'digest']) : ''
        const kept = {
          keeps: draw.chance(0.6),
          unreadMs: draw.of([0, 60_000]),
          key: '',
          join,
          conversation: '',
          attempt: 1,
        }
        commit.over.push({ ...end, ...times, ...kept, isEmpty: draw.chance(0.5) })
      }
      if (draw.chance(0.2)) {
        const process = draw.of(PROCESSES)
        const row = process === P3 ? { row: '{}' } : {}
        const about = { worker: `${process}.1`, id, ...row, attempt: 1, crashes: 0, epoch: 1 }
        const times = { sinceAcceptedMs: 0, queuedMs: 0, ttftMs: null }
        const claim = { deployment: 'd', reservation: null }
        commit.lease(process, { ...about, ...times, claim, bodyBytes: draw.of([10, 1 << 20]) })
      }
    }
    if (draw.chance(0.2)) commit.joined(draw.of([1, 2]), 70_000, draw.of(['d1', 'd2']), `${draw.of(JOBS)} 5`)
    if (draw.chance(0.3)) commit.tell(draw.of(PROCESSES), { type: 'answer', n: 1, is: null })
    if (draw.chance(0.2)) commit.seq = draw.below(1_000)
    if (draw.chance(0.2)) commit.change(draw.of(['SADD', 'SREM']), 'drain', draw.of(PROCESSES))
    const [term, number] = [draw.chance(0.9) ? this.term : '0.x', this.number + draw.of([0, 0, 0, 0, 0, -1, 1])]
    return commit.args(term, number, draw.chance(0.95) ? this.epoch : 3, draw.below(1_000))
  }

  #used(job: string): UsageRecord {
    const draw = this.#draw
    const used = { promptTokens: draw.below(9), completionTokens: 3, estimated: draw.chance(0.5) }
    return {
      job,
      attempt: 1 + draw.below(2),
      tenant: draw.of(['t', 'é\0\x01']),
      keyId: draw.of(['k', 'l']),
      user: draw.of([null, '', 'a\n']),
      run: null,
      kind: 'chat',
      model: 'm',
      deployment: null,
      end: 'done',
      usage: used,
      nanoDollars: draw.of([null, 0, 9_007_199]),
      priceVersion: null,
    }
  }

  #append(): readonly Argument[] {
    const draw = this.#draw
    const groups: Argument[] = []
    const left = new Set(JOBS)
    let isOpening = false
    for (let g = 1 + draw.below(2); g > 0; g--) {
      let frames = ''
      for (const id of [...left].filter(() => draw.chance(0.5))) {
        left.delete(id)
        const chunks = this.#db.list(this.#names.log(id))
        const written = this.#written.get(id) ?? { chunks: 0, seq: 0 }
        const opens = draw.chance(0.3)
        isOpening ||= opens
        // At times what was stored last comes again
        const repeats = chunks.length > 0 && draw.chance(0.1)
        const number = chunks.length - (repeats ? 1 : 0) + draw.of([0, 0, 0, 0, 0, 1, -1])
        const count = 1 + draw.below(3)
        const head = chunks.length === 0 ? 0 : written.seq
        const body = `body of ${id} ${number} ${draw.below(1_000)} \0\xff`
        const seqs = { firstSeq: head + 1 + draw.of([0, 0, 0, 0, 1]), count, back: draw.below(Math.max(1, number)) }
        const of = opens && draw.chance(0.2) ? 3 : this.epoch
        const chunk = repeats
          ? chunks.at(-1)!
          : writeChunk({ isEnd: false, isOpening: opens, epoch: of, ...seqs, bytes: body.length, body })
        frames += writeFrame(id, draw.of([1, 1, 2]), Math.max(0, number), chunk)
        this.#written.set(id, { chunks: number, seq: seqs.firstSeq + count - 1 })
      }
      if (frames !== '') groups.push(draw.of(['', P1, `${P1} ${P2}`, P3, `${P2} ${P3}`]), Buffer.from(frames, 'latin1'))
    }
    const args: Argument[] = [draw.of(PROCESSES), isOpening ? draw.below(1_000) : '', groups.length / 2, ...groups]
    for (const id of JOBS)
      if (draw.chance(0.2)) {
        const head = draw.chance(0.7) ? (this.#written.get(id)?.seq ?? 0) : draw.below(9)
        args.push(id, draw.of([1, 2]), draw.of(['ttft', 'command']), draw.of(['12', '[]']), head)
      }
    return args
  }

  #submit(): readonly Argument[] {
    const draw = this.#draw
    const args: Argument[] = [draw.of([0, 10_000, 10_000])]
    for (let n = 1 + draw.below(2); n > 0; n--) {
      args.push(`[{"n":${n}}]`, ...(draw.chance(0.8) ? [0] : [1, 'unknown']))
      const ids = JOBS.filter(() => draw.chance(0.3))
      args.push(2 * ids.length, ...ids.flatMap((id) => [id, draw.chance(0.2) ? '' : `body ${id} ${draw.below(100)}`]))
    }
    return args
  }
}
