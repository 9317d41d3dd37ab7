/** The workload that `--workload` names: generated, of a file, of a trace, or of Sluice's own records. */
import { readFileSync, statSync } from 'node:fs'
import { GENERATED, generated } from '../bench/workloads/generated.ts'
import { promptLines } from '../bench/workloads/lines.ts'
import { production, productionFile } from '../bench/workloads/production.ts'
import { TRACES, trace } from '../bench/workloads/traces.ts'
import { type Workload, WorkloadError } from '../bench/workloads/workload.ts'
import { systemClock } from '../core/clock.ts'
import { didYouMean } from '../core/nearest.ts'
import { adminClient } from './client.ts'
import { type Args, UsageError } from './command.ts'

const MAX_BYTES = 512 * 1024 * 1024
const MAX_RECORDS = 100_000

export async function workloadOf(args: Args, seed: number): Promise<Workload> {
  const text = args.option('workload') ?? 'chat'
  const [, kind, file] = /^trace:([^=]*)=(.*)$/s.exec(text) ?? []
  if (kind !== undefined) {
    const known = TRACES.find((each) => each === kind)
    if (known === undefined)
      throw new UsageError(`--workload: there is no trace "${kind}": ${TRACES.join(', ')}.${didYouMean(kind, TRACES)}`)
    return of(file, (content) => trace(known, content, seed))
  }
  if (text.startsWith('trace:')) throw new UsageError('--workload: a trace needs its file: trace:mooncake=FILE.')
  if (text.startsWith('prod:')) {
    const from = text.slice('prod:'.length)
    const [, hours] = /^LAST_(\d{1,4})H$/.exec(from) ?? []
    return hours === undefined
      ? of(from, (content) => productionFile(content, seed))
      : production(await recorded(args, Number(hours)), seed)
  }
  const found = generated(text, seed)
  if (found !== null) return found
  if (/[./\\]/.test(text)) return of(text, (content) => promptLines(content))
  throw new UsageError(
    `--workload: "${text}" is none of ${GENERATED.join(', ')}, and no file.${didYouMean(text, GENERATED)}`,
  )
}

function of(path: string, read: (content: string) => Workload): Workload {
  let content: string
  try {
    const { size } = statSync(path)
    if (size > MAX_BYTES) throw new UsageError(`${path} is larger than 512 MiB: take a part of it.`)
    content = readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`${path} can't be read (${(error as NodeJS.ErrnoException).code ?? 'error'}).`)
  }
  try {
    return read(content)
  } catch (error) {
    if (error instanceof WorkloadError) throw new UsageError(`${path}: ${error.message}.`)
    throw error
  }
}

/** Sluice's own records of the last hours: lengths and times. */
async function recorded(args: Args, hours: number) {
  const client = adminClient(args)
  const sinceMs = systemClock.wallMs() - hours * 3_600_000
  const day = new Date(sinceMs).toISOString().slice(0, 10)
  const records: Array<Readonly<Record<string, unknown>>> = []
  const query = new URLSearchParams({ from: day, limit: '10000' })
  for (;;) {
    const answer = await client.call('GET', `/admin/usage/records?${query}`)
    const page = (await answer.json()) as { data: Array<Readonly<Record<string, unknown>>>; next: string | null }
    records.push(...page.data.filter((each) => Number(each['created_at']) * 1_000 >= sinceMs))
    if (page.next === null || records.length >= MAX_RECORDS) break
    query.set('after', page.next)
  }
  try {
    return records.length === 0 ? fail(hours) : records.slice(-MAX_RECORDS)
  } catch (error) {
    if (error instanceof WorkloadError) throw new UsageError(`--workload: ${error.message}.`)
    throw error
  }
}

function fail(hours: number): never {
  throw new WorkloadError(`Sluice has no record of a call in the last ${hours} h`)
}
