/**
 * npm run bench -- fleet [--rounds 3 --seconds 5 --parts jobs,tokens,goodput,takeover --fsync everysec,always
 * --waiting 100000 --shapes 1+1,2+2 --in-flight 256 --priority raised --redis COMMAND --tools FOLDER --bullmq FOLDER
 * --json]. A shape of the jobs: processes that submit + processes that work.
 *
 * A fleet on Redis: beside BullMQ, beside Sluice in one process, and by itself. Interleaved rounds in random order,
 * each on a fresh Redis and in fresh processes, which are warmed; CPU by the scheduler's accounts, over exactly the
 * measured window. Nothing is fetched: what another machine has to be given is Node, the tree with its dependencies,
 * redis-server, the C tools built from shared/load, and BullMQ (npm install --no-save bullmq@6.7.0).
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { freePort, pause, ROOT } from '../targets.ts'
import { buildTools, isAllowed, type Priority, pinned } from '../tools.ts'
import { type GoodputShown, measureGoodput } from './goodput.ts'
import { type JobsShown, jobsCandidates, measureJobs } from './jobs.ts'
import { type Bench, IS_ROOMY } from './machine.ts'
import type { Fsync } from './redis.ts'
import { goodputTable, jobsTable, takeoverTable, tokensTable } from './report.ts'
import { measureTakeover, type TakeoverShown } from './takeover.ts'
import { measureTokens, TOKEN_TARGETS, type TokensShown, type TokenTarget } from './tokens.ts'

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    parts: { type: 'string', default: 'jobs,tokens,goodput,takeover' },
    fsync: { type: 'string', default: 'everysec' },
    waiting: { type: 'string', default: '100000' },
    shapes: { type: 'string', default: '1+1,2+2' },
    'in-flight': { type: 'string', default: '256' },
    priority: { type: 'string', default: 'raised' },
    redis: { type: 'string', default: 'redis-server' },
    tools: { type: 'string' },
    bullmq: { type: 'string', default: join(ROOT, 'node_modules/bullmq') },
    json: { type: 'boolean', default: false },
  },
})
const note = (text: string): void => void process.stderr.write(`${text}\n`)
const fail = (text: string): never => {
  note(text)
  process.exit(2)
}

const rounds = Number(values.rounds)
const parts = values.parts.split(',')
const waiting = Number(values.waiting)
const shapes = values.shapes.split(',').map((shape) => {
  const [submitters, workers] = shape.split('+').map(Number)
  return { submitters, workers }
})
const inFlight = values['in-flight'].split(',').map(Number)
const priority = isAllowed(values.priority as Priority) ? (values.priority as Priority) : 'ordinary'
if (priority !== values.priority) note(`${values.priority} priority is not granted here.`)
if (spawnSync(values.redis, ['--version']).status !== 0) fail(`${values.redis} is not here: nothing to measure.`)
const tools = buildTools(values.tools) ?? fail('The C tools are not here, and no compiler: --tools FOLDER names them.')
const bullmq = existsSync(join(values.bullmq, 'package.json')) ? resolve(values.bullmq) : null
if (bullmq === null) note('BullMQ is not here (npm install --no-save bullmq@6.7.0): left out.')
if (!IS_ROOMY) note('Fewer than 8 cores: all share them, and 1,000 streams run at half the pace.')

const upstreamPort = await freePort()
const upstream = spawn(...pinned(1, priority, tools.upstream, ['-p', String(upstreamPort)]), { stdio: 'ignore' })
const results: Record<string, unknown> = {}
try {
  await pause(300)
  for (const fsync of values.fsync.split(',') as Fsync[]) {
    const common = { tools, priority, server: values.redis, bullmq, fsync, upstreamPort, note }
    results[fsync] = await measured({ ...common, seconds: Number(values.seconds) })
  }
} finally {
  upstream.kill('SIGKILL')
}
if (values.json) process.stdout.write(`${JSON.stringify(results, plain)}\n`)

/** Prints each table when it is whole. */
async function measured(bench: Bench): Promise<unknown> {
  const print = (text: string): void => void (values.json || process.stdout.write(`\n${text}\n`))
  print(`\`appendfsync ${bench.fsync}\`, ${rounds} interleaved rounds, ${priority} priority`)
  const jobs = new Map<string, JobsShown[]>()
  const tokens = new Map<TokenTarget, Array<ReadonlyMap<number, TokensShown>>>()
  const goodput: GoodputShown[] = []
  const takeovers: TakeoverShown[] = []
  if (parts.includes('jobs')) {
    await interleaved(
      jobsCandidates(bullmq, shapes, inFlight),
      (candidate) => candidate.name,
      jobs,
      (each) => measureJobs(bench, each),
    )
    print(jobsTable(jobs))
  }
  if (parts.includes('tokens')) {
    await interleaved(
      TOKEN_TARGETS,
      (target) => target,
      tokens,
      (target) => measureTokens(bench, target),
    )
    print(tokensTable(tokens))
  }
  if (parts.includes('goodput')) {
    for (let round = 0; round < rounds; round++) goodput.push(await measureGoodput(bench))
    print(goodputTable(goodput))
  }
  if (parts.includes('takeover')) {
    for (let round = 0; round < rounds; round++) takeovers.push(await measureTakeover(bench, waiting))
    print(takeoverTable(waiting, takeovers))
  }
  return { jobs, tokens, goodput, takeovers }
}

/** Each candidate once a round; the rounds of each are in order, so that they can be laid beside each other. */
async function interleaved<C, N extends string, S>(
  candidates: readonly C[],
  nameOf: (candidate: C) => N,
  shown: Map<N, S[]>,
  measure: (candidate: C) => Promise<S>,
): Promise<void> {
  for (const candidate of candidates) shown.set(nameOf(candidate), [])
  for (let round = 1; round <= rounds; round++)
    for (const candidate of candidates.toSorted(() => Math.random() - 0.5)) {
      const found = await measure(candidate)
      shown.get(nameOf(candidate))!.push(found)
      note(`round ${round}, ${nameOf(candidate)}: ${JSON.stringify(found, plain)}`)
    }
}

function plain(_key: string, value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries(value)
  return typeof value === 'number' ? Number(value.toPrecision(4)) : value
}
