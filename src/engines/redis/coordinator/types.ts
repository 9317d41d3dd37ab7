/**
 * Keys of a shard that hold something else than its scripts take them for. They are looked for after a term has broken
 * off: a script that meets one has stored a part of what it should, and each term to come would meet it again.
 */
import type { TenantId } from '../../../core/job.ts'
import { dayOf } from '../../shared/calendar.ts'
import type { HeldJob } from './held.ts'
import type { Term } from './parts.ts'

type Type = 'hash' | 'zset' | 'list' | 'set' | 'stream'

const AT_ONCE = 1_000
/** Of those that wait: their first writing, which broke a term, comes sooner. */
const MOST_UNFILED = 10_000

/** What is wrong, for people; null: nothing that could be found. Rejects with what Redis or its client throws. */
export async function wrongType({ connection, names, held, time, clock }: Term): Promise<string | null> {
  const jobs = [...held.values()]
  const today = dayOf(time.atMs(clock.monoMs()))
  const tenants = new Set([...(await tenantsOf(connection.client, names.unfiled())), ...jobs.map(tenantOf)])
  const expected: ReadonlyArray<readonly [key: string, type: Type]> = [
    ...[names.inbox(), names.sent(), names.usageRecords()].map(typed('stream')),
    [names.unfiled(), 'list'],
    [names.draining(), 'set'],
    [names.pauses(), 'set'],
    ...[names.live(), names.after(), names.run(), names.ttft(), names.followers(), names.bytes()].map(typed('hash')),
    ...[names.levels(), names.usageSums(today)].map(typed('hash')),
    ...[names.jobs(), names.bad(), names.leaving(), names.usageDays(), names.usageGroups(today)].map(typed('zset')),
    ...[...tenants].flatMap((tenant) => [names.jobs(tenant), names.bad(tenant), names.ends(tenant)].map(typed('zset'))),
    ...jobs.filter(({ attempt }) => attempt > 0).flatMap((job) => keysOf(job, names)),
  ]
  for (let at = 0; at < expected.length; at += AT_ONCE) {
    const some = expected.slice(at, at + AT_ONCE)
    const found = await Promise.all(some.map(([key]) => connection.client.type(key)))
    for (const [i, [key, type]] of some.entries())
      if (found[i] !== type && found[i] !== 'none')
        return `the key "${key}" is a ${found[i]}, and must be a ${type}: check what else writes to this Redis`
  }
  return null
}

const tenantOf = ({ row }: HeldJob): TenantId => row.facts.tenant

/** Of ended jobs whose index entries wait: each is "<bytes> <seq> <when it ended> <state> <id> <tenant>". */
async function tenantsOf(client: Term['connection']['client'], unfiled: string): Promise<readonly TenantId[]> {
  if ((await client.type(unfiled)) !== 'list') return []
  const entries = await client.lrange(unfiled, 0, MOST_UNFILED - 1)
  return entries.map((entry) => entry.split(' ').slice(5).join(' '))
}

const typed =
  (type: Type) =>
  (key: string): readonly [string, Type] => [key, type]

/** Of a job that runs. */
function keysOf({ id, row: { facts } }: HeldJob, names: Term['names']): ReadonlyArray<readonly [string, Type]> {
  const { conversation } = facts.options
  const log = typed('list')(names.log(id))
  if (conversation === undefined) return [log]
  const of = (kind: string): string => names.conversation(kind, facts.tenant, conversation)
  return [
    log,
    ...['c', 'cm'].map((kind) => typed('hash')(of(kind))),
    ...['ct', 'cj', 'cx'].map((kind) => typed('zset')(of(kind))),
  ]
}
