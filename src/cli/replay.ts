/** `sluice replay`: what came to a pool through Kafka in some time, once more, to another model for comparison. */
import { createHash } from 'node:crypto'
import { readReplay } from '../app/replay.ts'
import { loadConfig } from '../config/load.ts'
import { sleep, systemClock } from '../core/clock.ts'
import type { Replayed } from '../core/replayed.ts'
import { CLIENT_OPTIONS, type Client, publicClient } from './client.ts'
import { type Args, type Command, EXIT, FailedError, type Output, UsageError } from './command.ts'
import { columns } from './table.ts'

export const command: Command = {
  usage: 'replay --from TIME --to TIME [--pool NAME] [--model OTHER] [--tenant NAME] [--dry-run]',
  about:
    "Submits what came through Kafka in some time again: as new jobs of the API key's tenant, of low priority, " +
    'marked in their metadata (replay, replay_of). What belongs to a conversation is left out, as its prompt is more ' +
    'than itself, and so are earlier replays. Cut short, the same command goes on.',
  options: {
    from: { value: 'TIME', help: 'from then on: 2026-11-26T08:00:00Z, or how long ago: 90m, 2h, 1d' },
    to: { value: 'TIME', help: 'until then (default: now)' },
    pool: { value: 'NAME', help: 'what came to this pool (default: text)' },
    model: { value: 'OTHER', help: 'ask this model instead of the one that was asked' },
    tenant: { value: 'NAME', help: "only this tenant's; needed where there are several" },
    name: { value: 'NAME', help: 'the mark; with another one the same jobs are submitted once more' },
    'dry-run': { help: 'count what would be submitted' },
    ...CLIENT_OPTIONS,
  },
  takesSettings: ['kafka-brokers', 'kafka-prefix'],
  async run(args, out) {
    const nowMs = systemClock.wallMs()
    const fromMs = timeOf(args, 'from', nowMs) ?? missing()
    const toMs = timeOf(args, 'to', nowMs) ?? nowMs
    if (fromMs >= toMs) throw new UsageError('--from must be earlier than --to.')
    const isDry = args.has('dry-run')
    const pool = args.option('pool') ?? 'text'
    const client = isDry ? null : publicClient(args)
    const { config } = loadConfig({ file: args.option('config'), flags: args.settings, withoutSecrets: true })
    const read = (): AsyncGenerator<Replayed | null> => readReplay(config.intakes, pool, { fromMs, toMs })
    // Read twice: nothing is submitted before all of it is known, and nothing of it is kept
    const found = await count(read(), args.option('tenant') ?? null)
    if (!isDry && found.tenants.size > 1)
      throw new UsageError(`Of several tenants (${[...found.tenants.keys()].join(', ')}): choose one with --tenant.`)
    if (client === null) {
      tell(found, args, out)
      return EXIT.ok
    }
    const sent = await submitAll(client, read(), pool, args, out)
    out.print(
      args.has('json')
        ? JSON.stringify({ replay: sent.replay, submitted: sent.submitted, refused: sent.refused })
        : `${sent.submitted} submitted, ${sent.refused} refused, as "${sent.replay}".`,
    )
    if (sent.jobs < found.jobs)
      throw new FailedError(`Of ${found.jobs} jobs only ${sent.jobs} could be read the second time: start it again.`)
    return sent.refused > 0 ? EXIT.failed : EXIT.ok
  },
}

const UNITS: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3_600e3, d: 86_400e3 }

/** Ms since 1970; null: it was not given. */
function timeOf(args: Args, option: string, nowMs: number): number | null {
  const text = args.option(option)
  if (text === undefined) return null
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (amount !== undefined) return Math.max(0, nowMs - Number(amount) * UNITS[unit])
  const [, year, month, day] =
    /^(\d{4})-(\d{2})-(\d{2})(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$/.exec(text) ?? []
  // A day that a month does not have would be one of the next month
  const isDay = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day)
  const at = isDay ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(at)) return Math.max(0, at)
  throw new UsageError(`--${option} needs a time with its zone, as 2026-11-26T08:00:00Z, or how long ago: 90m, 2h.`)
}

function missing(): never {
  throw new UsageError('From when? --from 2026-11-26T08:00:00Z, or --from 2h.')
}

interface Found {
  readonly jobs: number
  readonly turns: number
  /** Of an earlier replay: its jobs go through Kafka, too. */
  readonly replays: number
  /** Cancels, and what can be no job. */
  readonly others: number
  readonly models: ReadonlyMap<string, number>
  readonly tenants: ReadonlyMap<string, number>
}

async function count(messages: AsyncGenerator<Replayed | null>, tenant: string | null): Promise<Found> {
  const [models, tenants] = [new Map<string, number>(), new Map<string, number>()]
  let [jobs, turns, replays, others] = [0, 0, 0, 0]
  for await (const each of messages) {
    if (each === null) others++
    else if (!isWanted(each, tenant)) continue
    else if (each.isTurn) turns++
    else if (isReplay(each)) replays++
    else {
      jobs++
      models.set(each.model, (models.get(each.model) ?? 0) + 1)
      const whose = each.tenant ?? NOBODY
      tenants.set(whose, (tenants.get(whose) ?? 0) + 1)
    }
  }
  return { jobs, turns, replays, others, models, tenants }
}

/** A message that names no tenant. */
const NOBODY = '(none)'
const isWanted = ({ tenant }: Replayed, wanted: string | null): boolean =>
  wanted === null || (tenant ?? NOBODY) === wanted
const isReplay = ({ metadata }: Replayed): boolean => metadata['replay_of'] !== undefined

function tell({ jobs, turns, replays, others, models, tenants }: Found, args: Args, out: Output): void {
  if (args.has('json')) {
    const counts = { models: Object.fromEntries(models), tenants: Object.fromEntries(tenants) }
    return out.print(JSON.stringify({ jobs, conversation_turns: turns, replays, others, ...counts }))
  }
  out.print(
    `${jobs} jobs would be submitted. Left out: ${turns} turns of conversations, ${replays} of earlier replays, ` +
      `${others} that are no jobs.`,
  )
  const rows = (title: string, counts: ReadonlyMap<string, number>): string[][] =>
    [...counts].map(([name, n]) => [title, name, String(n)])
  for (const line of columns([...rows('model', models), ...rows('tenant', tenants)])) out.print(line)
}

interface Sent {
  readonly replay: string
  /** Those that an earlier run had submitted among them. */
  submitted: number
  refused: number
  /** Read, that were to be submitted. */
  jobs: number
}

const BATCH = 100
const BATCH_BYTES = 2 ** 20
const AGAIN_MS = 2_000
/** What Kafka has is published once more with each try. */
const LAST_AGAIN_MS = 30_000
/** Of the client's own labels at most so many are kept beside ours. */
const KEPT_LABELS = 13
const TOLD = 5

async function submitAll(
  client: Client,
  messages: AsyncGenerator<Replayed | null>,
  pool: string,
  args: Args,
  out: Output,
): Promise<Sent> {
  const model = args.option('model') ?? null
  const named = args.option('name') ?? [args.option('from'), args.option('to') ?? 'now', model ?? 'same'].join(' ')
  const sent: Sent = { replay: named.slice(0, 64), submitted: 0, refused: 0, jobs: 0 }
  const tenant = args.option('tenant') ?? null
  let batch: object[] = []
  let bytes = 0
  const flush = async (): Promise<void> => {
    if (batch.length > 0) await submit(client, batch, sent, out)
    batch = []
    bytes = 0
  }
  for await (const each of messages) {
    if (each === null || each.isTurn || isReplay(each) || !isWanted(each, tenant)) continue
    sent.jobs++
    const job = jobOf(each, model, sent.replay, pool)
    batch.push(job)
    bytes += JSON.stringify(job).length
    if (batch.length >= BATCH || bytes >= BATCH_BYTES) await flush()
  }
  await flush()
  return sent
}

function jobOf(
  { id, tenant, request, metadata, endpoint }: Replayed,
  model: string | null,
  replay: string,
  pool: string,
): object {
  const labels = Object.fromEntries(Object.entries(metadata).slice(0, KEPT_LABELS))
  return {
    request: model === null ? request : { ...request, model },
    ...(endpoint !== null && { endpoint }),
    priority: 'low',
    // It is to be answered anew
    cache: 'no-store',
    metadata: { ...labels, replay, replay_of: id },
    // Tenants, and pools, may each have a message of this id
    idempotency_key: keyOf(`replay/${replay}/${pool}/${tenant ?? ''}/${id}`),
  }
}

/** A key of at most 255 characters; the end of a longer one is a hash of it all. */
export const keyOf = (whole: string): string =>
  whole.length <= 255 ? whole : whole.slice(0, 191) + createHash('sha256').update(whole).digest('hex')

interface Answer {
  readonly object: 'job' | 'error'
  readonly error?: { readonly code: string; readonly message: string }
}

/** What finds no room now waits for some. */
const LATER = new Set([
  'queue_full',
  'rate_limit_exceeded',
  'overloaded',
  'draining',
  'starting',
  'intake_unavailable',
  // It waits in Kafka
  'not_arrived',
])

async function submit(client: Client, jobs: readonly object[], sent: Sent, out: Output): Promise<void> {
  let wait = AGAIN_MS
  for (let left = jobs; left.length > 0; wait = Math.min(2 * wait, LAST_AGAIN_MS)) {
    const response = await client.call('POST', '/v1/jobs', { body: { jobs: left } })
    const { data } = (await response.json()) as { data: readonly Answer[] }
    const again: object[] = []
    for (const [i, { object, error }] of data.entries())
      if (object !== 'error') sent.submitted++
      else if (LATER.has(error!.code)) again.push(left[i])
      else if (sent.refused++ < TOLD) out.note(`refused: ${error!.message}`)
    if (again.length > 0 && left === jobs) out.note('There is no room in line: waiting for some.')
    left = again
    if (left.length > 0) await sleep(systemClock, wait)
  }
  if (sent.refused > 0 && sent.submitted === 0 && sent.refused >= BATCH)
    throw new FailedError('The server refuses all of them.')
}
