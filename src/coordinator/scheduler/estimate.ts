/**
 * A job's place, and when it may start. The position is exact; the work ahead of it is an estimate: the tenant's own
 * jobs ahead of it, by their prompt tokens and the mean output of this flow's jobs; and for every other tenant what the
 * fair order gives it until then, including its counter's lead. Not considered: later arrivals, jobs that are not ready
 * yet (lanes, delays), other flows. Of more than 256 tenants a sample represents all. Times come from this flow's
 * recent throughput.
 */
import type { Place } from '../../core/job.ts'
import type { ScheduledJob } from '../../core/ports/coordinator.ts'
import type { Entry } from './entry.ts'
import type { Fairness } from './fairness.ts'
import type { Flow, Tenant } from './flow.ts'
import type { Lane } from './lanes.ts'

const SAMPLE = 256

interface Work {
  readonly jobs: number
  readonly promptTokens: number
}

const NONE: Work = { jobs: 0, promptTokens: 0 }
const plus = (a: Work, b: Work): Work => ({ jobs: a.jobs + b.jobs, promptTokens: a.promptTokens + b.promptTokens })
const tokensOf = (flow: Flow<Entry>, work: Work): number => work.promptTokens + work.jobs * flow.throughput.meanOutput

/** Tokens that this flow serves before a tenant's job with `own` work of its tenant ahead of it. */
function tokensBefore(fairness: Fairness, flow: Flow<Entry>, tenant: Tenant<Entry>, own: Work): number {
  const { meanOutput } = flow.throughput
  const counter = tenant.active > 0 ? tenant.counter : Math.max(tenant.counter, fairness.virtual)
  const turn = counter + fairness.weigh(own.promptTokens, own.jobs * meanOutput) / fairness.weightOf(tenant)
  const sample = Math.min(flow.tenants, SAMPLE)
  let others = 0
  for (let i = 0; i < sample; i++) {
    const line = flow.lineAt(Math.floor((i * flow.tenants) / sample))
    const lead = turn - line.tenant.counter
    if (line.tenant === tenant || lead <= 0) continue
    const weighted = fairness.weigh(line.promptTokens, line.size * meanOutput)
    const share = weighted === 0 ? 1 : Math.min(1, (lead * fairness.weightOf(line.tenant)) / weighted)
    others += share * tokensOf(flow, { jobs: line.size, promptTokens: line.promptTokens })
  }
  return tokensOf(flow, own) + (sample === 0 ? 0 : (others * flow.tenants) / sample)
}

/** For a queued job. `fromMono`: it does not start before; Infinity: nobody knows when. */
export function placeOf(fairness: Fairness, entry: Entry, fromMono: number, now: number): Place {
  const { flow, tenant } = entry
  const lane = laneAhead(entry)
  // Of a lane only the head is in the tenant's line
  const head = entry.lane?.head ?? entry
  const line = head.line ?? tenant.lines.find((known) => known.flow === head.flow)
  const running = head !== entry && head.lease !== null
  const own =
    running || line === undefined ? NONE : head.line === line ? line.ahead(head) : line.before(head.job.priority, true)
  const before = running ? 0 : tokensBefore(fairness, head.flow, head.tenant, own)
  const place = {
    position: 1 + (entry.lane === null ? own.jobs : lane.jobs),
    tokensAhead: Math.round(before + tokensOf(flow, lane)),
  }
  const { rate, meanMs } = flow.throughput
  if (rate === null || fromMono === Infinity) return place
  const rest = running ? Math.max(0, meanMs - (now - head.lease!.leasedMono)) : before / rate
  return {
    ...place,
    etaMs: Math.round(Math.max(rest + lane.jobs * meanMs, entry.notBeforeMono - now, fromMono - now, 0)),
  }
}

/** Jobs ahead of it in its lane that are not running. */
function laneAhead(entry: Entry): Work {
  let work = NONE
  for (let e = entry.laneBefore; e !== null; e = e.laneBefore)
    if (e.lease === null) work = plus(work, { jobs: 1, promptTokens: e.job.promptTokens })
  return work
}

/**
 * When a job submitted now could start, ms from now: a lower bound. Null: there is too little data.
 */
export function earliestStartMs(
  fairness: Fairness,
  job: ScheduledJob,
  tenant: Tenant<Entry>,
  flow: Flow<Entry>,
  lane: Lane<Entry> | undefined,
  room: number,
): number | null {
  const { sureRate, sureMeanMs } = flow.throughput
  if (lane !== undefined) return sureMeanMs === null ? null : lane.waiting * sureMeanMs
  if (sureRate === null || !flow.waits) return null
  // If everything that waits could be served in time, the order does not matter
  const all = tokensOf(flow, { jobs: flow.ready, promptTokens: flow.promptTokens }) / sureRate
  if (all <= room) return all
  const line = tenant.lines.find((known) => known.flow === flow)
  return tokensBefore(fairness, flow, tenant, line === undefined ? NONE : line.before(job.priority, true)) / sureRate
}
