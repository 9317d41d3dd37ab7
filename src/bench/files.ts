/** A run's folder: `records.jsonl`, `run.json`, `report.html`. */
import { createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isRecord } from '../core/json.ts'
import { type BenchRecord, lineOf, RecordError, readRecords } from './record.ts'
import { type BenchRun, RUN_VERSION } from './run.ts'
import { wrongMemberOf } from './run-shape.ts'

export class RunFolderError extends Error {}

const RECORDS = 'records.jsonl'
const RUN = 'run.json'
const REPORT = 'report.html'
const LABEL = /^[\w][\w.-]{0,63}$/

export const isLabel = (label: string): boolean => LABEL.test(label)

export interface RunFolder {
  readonly path: string
  add(record: BenchRecord): void
  /** Writes run.json; the report is made of what is then safe. */
  finish(run: BenchRun): Promise<void>
}

/** Throws RunFolderError: it can't be written. What was there under this label is written over. */
export function openRunFolder(out: string, label: string): RunFolder {
  const path = join(out, label)
  try {
    mkdirSync(path, { recursive: true })
    writeFileSync(join(path, RECORDS), '')
  } catch (cause) {
    throw new RunFolderError(`${path} can't be written (${(cause as NodeJS.ErrnoException).code ?? 'error'})`, {
      cause,
    })
  }
  const records = createWriteStream(join(path, RECORDS))
  let failed: Error | null = null
  records.on('error', (error) => {
    failed = error
  })
  return {
    path,
    add: (record) => void records.write(`${lineOf(record)}\n`),
    async finish(run) {
      await new Promise<void>((done) => records.end(() => done()))
      const error = failed as NodeJS.ErrnoException | null
      if (error !== null) throw new RunFolderError(`${join(path, RECORDS)} can't be written (${error.code})`)
      writeFileSync(join(path, RUN), `${JSON.stringify(run, null, 2)}\n`)
    },
  }
}

export const writeReport = (path: string, report: string): void => writeFileSync(join(path, REPORT), report)

/** Throws RunFolderError. */
export function readRunFolder(path: string): { run: BenchRun; records: BenchRecord[] } {
  const run = JSON.parse(read(path, RUN)) as unknown
  if (!isRecord(run) || run['kind'] !== 'run') throw new RunFolderError(`${join(path, RUN)} is not that of a run`)
  if (run['v'] !== RUN_VERSION)
    throw new RunFolderError(`${join(path, RUN)} has version ${String(run['v'])}; this Sluice reads ${RUN_VERSION}`)
  const wrong = wrongMemberOf(run)
  if (wrong !== null) throw new RunFolderError(`${join(path, RUN)}: "${wrong}" is missing or of another shape`)
  try {
    const found = { run: run as unknown as BenchRun, records: readRecords(read(path, RECORDS)) }
    const ofRounds = found.records.filter(({ phase }) => phase === 'round')
    const wasWritten = (kept: number, asked: number, of: string): void => {
      if (kept !== asked)
        throw new RunFolderError(
          `${join(path, RECORDS)} has ${kept} of ${asked} requests${of}: was it written by this run?`,
        )
    }
    wasWritten(
      ofRounds.length,
      found.run.rounds.reduce((sum, { requests }) => sum + requests, 0),
      '',
    )
    const counts = new Map<number, number>()
    for (const { round } of ofRounds) counts.set(round, (counts.get(round) ?? 0) + 1)
    for (const { round, requests } of found.run.rounds)
      wasWritten(counts.get(round) ?? 0, requests, ` of round ${round + 1}`)
    return found
  } catch (error) {
    if (error instanceof RecordError) throw new RunFolderError(`${join(path, RECORDS)}: ${error.message}`)
    throw error
  }
}

function read(path: string, name: string): string {
  try {
    const text = readFileSync(join(path, name), 'utf8')
    if (name === RUN) JSON.parse(text)
    return text
  } catch (cause) {
    if (cause instanceof SyntaxError) throw new RunFolderError(`${join(path, name)} is not JSON`)
    const { code } = cause as NodeJS.ErrnoException
    throw new RunFolderError(
      code === 'ENOENT' ? `there is no ${join(path, name)}: is this the folder of a run?` : `${path}: ${code}`,
    )
  }
}
