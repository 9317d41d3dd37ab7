/** The token log's scripts (lua/append.lua, lua/log*.lua), as functions of a simulated Redis. */
import { readChunk, writeChunk, writeFrame } from '../../../src/engines/redis/log/chunk.ts'
import type { Database } from './database.ts'
import { type Args, logEpoch, type Model, type Reply } from './model.ts'

export { writeFrame } from '../../../src/engines/redis/log/chunk.ts'

interface Header {
  readonly isEnd: boolean
  readonly isOpening: boolean
  readonly epoch: number
  readonly first: number
  readonly last: number
  readonly back: number
  readonly bytes: number
}

export function headerOf(chunk: string): Header {
  const { isEnd, isOpening, epoch, firstSeq, count, back, bytes } = readChunk(chunk)
  return { isEnd, isOpening, epoch, first: firstSeq, last: firstSeq + count - 1, back, bytes }
}

function varint(n: number): string {
  let bytes = ''
  for (; n >= 128; n = Math.floor(n / 128)) bytes += String.fromCharCode(128 + (n % 128))
  return bytes + String.fromCharCode(n)
}

export function endChunk(epoch: number, seq: number, record: string): string {
  const body = `\0${varint(record.length)}${record}`
  const { length } = record
  return writeChunk({ isEnd: true, isOpening: false, epoch, firstSeq: seq, count: 1, back: 0, bytes: length, body })
}

/** Its last seq, and the epoch of that record. */
export function logTip(db: Database, S: string, id: string): readonly [head: number, epoch: number] {
  const last = db.list(`${S}:l:${id}`).at(-1)
  if (last === undefined) return [0, 0]
  const { last: head, epoch } = headerOf(last)
  return [head, epoch]
}

// ---------------------------------------------------------------- followers

const split = (followers: string): string[] => followers.split(' ').filter((each) => each !== '')

function addFollower(db: Database, S: string, id: string, process: string): void {
  const followers = db.hash(`${S}:fol`)
  const there = followers.get(id) ?? ''
  if (!split(there).includes(process)) followers.set(id, there === '' ? process : `${there} ${process}`)
}

/** Returns who is left. */
function dropFollower(db: Database, S: string, id: string, process: string): string {
  const followers = db.hash(`${S}:fol`)
  const left = split(followers.get(id) ?? '')
    .filter((each) => each !== process)
    .join(' ')
  if (left === '') followers.delete(id)
  else followers.set(id, left)
  return left
}

// ---------------------------------------------------------------- append

interface Framed {
  readonly id: string
  readonly attempt: number
  readonly number: number
  readonly chunk: string
  readonly frame: string
  readonly row: string | undefined
  following: string
}

/** Bugs that may be planted into it. */
export interface AppendFaults {
  readonly noFence?: boolean
  readonly noNumbers?: boolean
}

export const appending =
  ({ noFence = false, noNumbers = false }: AppendFaults = {}): Model =>
  (reach, S, args) => {
    const { db } = reach
    const [self, random] = args.many(2)
    const groups = args.count()
    const answer: Array<string | number> = []
    const run = db.hash(`${S}:run`)
    const all: Array<{ readonly expected: string; readonly frames: Framed[] }> = []
    for (let g = 0; g < groups; g++) {
      const [expected, frames] = args.many(2)
      all.push({ expected, frames: framesOf(db, S, frames) })
    }
    const epoch = random === '' ? null : logEpoch(db, S, random)
    const isHeld = (row: string | undefined, attempt: number): boolean =>
      noFence || row?.startsWith(`${attempt} ${self}.`) === true
    const refused = new Set<string>()
    const tell = (i: number, what: string, value: string | number): void => void answer.push(i, what, value)

    const isOld = (i: number, chunk: string): boolean => {
      if (epoch === null || headerOf(chunk).epoch === epoch) return false
      tell(i, 'e', epoch)
      return true
    }

    const open = (i: number, log: string[], chunk: string): boolean => {
      const last = log.at(-1)
      if (last === chunk) {
        tell(i, 'n', log.length - 1)
        return true
      }
      const head = last === undefined ? 0 : headerOf(last).last
      if (headerOf(chunk).first !== head + 1) {
        tell(i, 'x', '')
        return false
      }
      if (isOld(i, chunk)) return false
      const number = log.push(chunk) - 1
      if (number > 0) tell(i, 'n', number)
      return true
    }

    const store = (i: number, { id, attempt, number, chunk, row }: Framed): boolean => {
      if (!isHeld(row, attempt)) {
        tell(i, 'x', '')
        return false
      }
      const log = db.list(`${S}:l:${id}`)
      if (headerOf(chunk).isOpening) return open(i, log, chunk)
      if (log[number] !== chunk && isOld(i, chunk)) return false
      if (noNumbers || log.length === number) {
        log.push(chunk)
        return true
      }
      if (log.length > number && log[number] === chunk) return true
      tell(i, 'x', '')
      return false
    }

    let i = 0
    for (const { expected, frames } of all) {
      const first = i + 1
      const kept: string[] = []
      for (const framed of frames) {
        i++
        if (!store(i, framed)) {
          refused.add(framed.id)
          continue
        }
        kept.push(framed.frame)
        if (framed.following === expected) continue
        tell(i, 'f', framed.following)
        for (const process of split(framed.following))
          if (process !== self && !split(expected).includes(process)) reach.publish(`${S}:t:${process}`, framed.frame)
      }
      if (kept.length === 0) continue
      for (const process of split(expected)) {
        if (process === self || reach.publish(`${S}:t:${process}`, kept.join('')) > 0) continue
        for (const [k, framed] of frames.entries()) {
          if (!split(framed.following).includes(process)) continue
          framed.following = dropFollower(db, S, framed.id, process)
          tell(first + k, 'f', framed.following)
        }
      }
    }
    const commands: string[] = []
    while (!args.isDone) {
      const [id, attempt, kind, text, head] = args.many(5)
      i++
      const isEmpty = attempt === '1' && head === '0'
      const isShort = kind === 'command' && !isEmpty && logTip(db, S, id)[0] !== Number(head)
      if (refused.has(id) || !isHeld(run.get(id), Number(attempt)) || isShort) tell(i, 'x', '')
      else if (kind === 'ttft') db.hash(`${S}:ttft`).set(id, text)
      else commands.push(text)
    }
    if (commands.length > 0) db.append(`${S}:inbox`, ...commands)
    if (epoch !== null) tell(0, 'e', epoch)
    return answer
  }

function framesOf(db: Database, S: string, frames: string): Framed[] {
  const found: Framed[] = []
  const u32 = (at: number): number => Buffer.from(frames.slice(at, at + 4), 'latin1').readUInt32BE()
  for (let at = 0; at < frames.length; ) {
    const id = frames.slice(at + 1, at + 1 + frames.charCodeAt(at))
    at += 1 + id.length
    const [attempt, number, length] = [u32(at), u32(at + 4), u32(at + 8)]
    const chunk = frames.slice(at + 12, at + 12 + length)
    at += 12 + length
    const frame = writeFrame(id, attempt, number, chunk)
    const [row, following = ''] = [db.hash(`${S}:run`).get(id), db.hash(`${S}:fol`).get(id)]
    found.push({ id, attempt, number, chunk, frame, row, following })
  }
  return found
}

// ---------------------------------------------------------------- reading

const PREPARED_BYTES = 65_536

const read: Model = ({ db }, S, args) => {
  const random = args.take()
  const answers: Reply[] = []
  while (!args.isDone) answers.push(readOne(db, S, random, args))
  return answers
}

function readOne(db: Database, S: string, random: string, args: Args): Reply {
  const id = args.take()
  const [after, most, decodable, process] = [args.count(), args.count(), args.take() === '1', args.take()]
  const log = db.list(`${S}:l:${id}`)
  const live = db.hash(`${S}:live`).has(id)
  if (log.length === 0 && !live) return []
  const tip = log.length === 0 ? null : headerOf(log.at(-1)!)
  const isEnded = tip?.isEnd === true
  const head = tip?.last ?? 0
  const epoch = isEnded ? tip.epoch : logEpoch(db, S, random)
  if (process !== '' && live && !isEnded) addFollower(db, S, id, process)
  const answer: Array<string | number> = [epoch, head, isEnded ? 1 : 0, 0]
  if (tip === null) return answer
  if (after < 0) {
    answer[3] = tip.epoch
    const chunks = log.slice(-1 - tip.back)
    if (chunks.reduce((sum, { length }) => sum + length, 0) <= PREPARED_BYTES) answer.push(...chunks)
    return answer
  }
  const find = (seq: number): number => {
    const at = log.findIndex((chunk) => headerOf(chunk).last > seq)
    return at < 0 ? log.length : at
  }
  if (after > 0 && after <= head) answer[3] = headerOf(log[find(after - 1)]).epoch
  if (after >= head) return answer
  const first = find(after)
  const { epoch: of, back } = headerOf(log[first])
  let bytes = 0
  for (let n = decodable ? first - back : first; n < log.length; n++) {
    const { epoch: written, first: begins, last: ends, bytes: raw } = headerOf(log[n])
    if (n > first && (written !== of || bytes >= most)) break
    answer.push(log[n])
    if (n >= first) bytes += (raw * (ends - Math.max(after, begins - 1))) / (ends - begins + 1)
  }
  return answer
}

const look: Model = ({ db }, S, args) => {
  const process = args.take()
  return args.all.slice(1).flatMap((id) => {
    const last = db.list(`${S}:l:${id}`).at(-1)
    const live = db.hash(`${S}:live`).has(id)
    const tip = last === undefined ? null : headerOf(last)
    if (process !== '' && live && tip?.isEnd !== true) addFollower(db, S, id, process)
    return tip === null ? [live ? 0 : -1, 0] : [tip.last, tip.epoch]
  })
}

const missing: Model = ({ db }, S, args) => {
  const [random, id] = args.many(2)
  const isThere = db.exists(`${S}:l:${id}`) || db.hash(`${S}:live`).has(id)
  return [logEpoch(db, S, random), isThere ? 0 : 1]
}

const leave: Model = ({ db }, S, args) => {
  const process = args.take()
  for (const id of args.all.slice(1)) dropFollower(db, S, id, process)
  return null
}

const common: Model = ({ db }, S, args) => {
  const [id, epoch] = [args.take(), args.count()]
  if (!db.list(`${S}:epochs`).some((each) => Number.parseInt(each, 10) === epoch)) return 0
  const log = db.list(`${S}:l:${id}`)
  let [low, high] = [0, log.length]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (headerOf(log[middle]).epoch > epoch) high = middle
    else low = middle + 1
  }
  return low === 0 ? 0 : headerOf(log[low - 1]).last
}

export const LOG_MODELS: Readonly<Record<string, Model>> = {
  append: appending(),
  'log-read': read,
  'log-look': look,
  'log-missing': missing,
  'log-leave': leave,
  'log-common': common,
}
