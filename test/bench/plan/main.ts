/**
 * npm run bench -- plan [--rounds 7]
 *
 * What it costs to plan a call: claim, answer and release, µs, for one deployment and for many; medians of rounds, in
 * brackets least and most. No server, no clock: the machine alone.
 */
import { parseArgs } from 'node:util'
import { Plan } from '../../../src/coordinator/plan/plan.ts'
import type { Planned } from '../../../src/coordinator/plan/planned.ts'
import { job } from '../../../src/coordinator/scheduler/testing/jobs.ts'
import { POLICIES, type PolicyName } from '../../../src/core/policies.ts'
import type { PlanDeployment, ScheduledJob } from '../../../src/core/ports/coordinator.ts'
import { median } from '../report.ts'

const { values } = parseArgs({ args: process.argv.slice(3), options: { rounds: { type: 'string', default: '7' } } })
const CALLS = 20_000
/** In flight at once. */
const AT_ONCE = 100

interface Case {
  readonly title: string
  readonly deployments: number
  readonly policy?: PolicyName
  readonly more?: Partial<PlanDeployment>
  readonly ask?: Partial<ScheduledJob>
}

const QUOTA = { requestsPerMinute: 1e9, tokensPerMinute: 1e12 }
const CASES: readonly Case[] = [
  { title: 'one', deployments: 1 },
  { title: 'one, with a quota', deployments: 1, more: QUOTA },
  { title: 'two', deployments: 2 },
  { title: 'ten', deployments: 10 },
  ...POLICIES.map((policy) => ({ title: `50, ${policy}`, deployments: 50, policy })),
  { title: '50, with quotas', deployments: 50, more: QUOTA },
  {
    title: '50, with quotas, needs and affinity',
    deployments: 50,
    more: { ...QUOTA, tags: ['eu'], can: { tools: true }, contextTokens: 128_000 },
    ask: { needs: { can: ['tools'], tags: ['eu'] }, affinity: 'chat' },
  },
]

function round({ deployments, policy = 'least-wait', more, ask }: Case): {
  readonly claim: number
  readonly all: number
} {
  const plan = new Plan([
    {
      name: 'chat',
      policy,
      deployments: Array.from({ length: deployments }, (_, i) => ({
        ...{ name: `chat@host-${i}`, kinds: ['chat'] as const, upstreamModel: null, concurrent: 1_000, order: 0 },
        ...{ revision: '', price: { input: i, output: i } },
        ...more,
      })),
    },
  ])
  const jobs = Array.from({ length: CALLS }, (_, i) =>
    job(`job_01ARZ3NDEKTSV4RRFF${i}`, { maxOutputTokens: 300, ...ask }),
  )
  const running: Planned[] = []
  let claimed = 0
  const from = process.cpuUsage()
  for (let i = 0; i < CALLS; i++) {
    const now = i * 3
    const notes: Planned = { job: jobs[i], failedAt: [], call: null }
    const began = performance.now()
    plan.claim(notes, now)
    claimed += performance.now() - began
    running.push(notes)
    if (running.length < AT_ONCE) continue
    const done = running.shift()!
    plan.answered(done, { completionTokens: 200 }, { ttftMs: 500, tpotMs: 20 }, now)
    plan.release(done, { promptTokens: 100, completionTokens: 200 }, now)
  }
  const { user, system } = process.cpuUsage(from)
  return { claim: (claimed * 1_000) / CALLS, all: (user + system) / CALLS }
}

const figures = (all: readonly number[]): string =>
  `${median(all).toFixed(2)} (${Math.min(...all).toFixed(2)}-${Math.max(...all).toFixed(2)})`
for (const each of CASES) round(each)
console.log(`| deployments | claim, µs | claim, answer and release, µs of CPU |\n| --- | --- | --- |`)
for (const each of CASES) {
  const rounds = Array.from({ length: Number(values.rounds) }, () => round(each))
  const [claim, all] = [rounds.map((one) => one.claim), rounds.map((one) => one.all)]
  console.log(`| ${each.title} | ${figures(claim)} | ${figures(all)} |`)
}
