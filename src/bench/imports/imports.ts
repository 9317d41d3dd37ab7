/**
 * Results of other tools, as a run of ours: their times as they took them, under our names. Where a tool measures
 * something else (docs/bench.md), that is remarked in the run.
 */
import { greatest } from '../quantile.ts'
import { type BenchRecord, impossibleIn } from '../record.ts'
import { type BenchRun, type RoundSummary, RUN_VERSION, type ValidityCheck } from '../run.ts'
import { aiperf } from './aiperf.ts'
import { guidellm } from './guidellm.ts'
import { ImportError, type Imported } from './imported.ts'
import { vllm } from './vllm.ts'

export const IMPORTS = ['vllm', 'guidellm', 'aiperf'] as const
export type Tool = (typeof IMPORTS)[number]
export { ImportError }

export interface ImportInto {
  readonly id: string
  readonly label: string
  readonly sluice: string
  readonly wallMs: number
}

const READERS: Readonly<Record<Tool, (text: string) => Imported>> = { vllm, guidellm, aiperf }

/** Throws ImportError: what is missing in the file, and how the tool is told to write it. */
export function importResult(tool: Tool, text: string, into: ImportInto): { run: BenchRun; records: BenchRecord[] } {
  const { source, model, load, rounds: read, startedAtMs, remarks } = READERS[tool](text)
  // Those without requests were left out
  const rounds = read.map(({ rate, records }, round) => ({
    rate,
    records: records.map((each) => ({ ...each, round })),
  }))
  const records = rounds.flatMap(({ records: own }) => own)
  if (records.length === 0) throw new ImportError('it has no requests')
  for (const [at, record] of records.entries()) {
    const wrong = impossibleIn(record)
    if (wrong !== null) throw new ImportError(`request ${at + 1} of ${records.length}: ${wrong}`)
  }
  const summaries = rounds.map((round, i) => roundOf(round.records, i, round.rate))
  const checks = remarks.map((note): ValidityCheck => ({ name: 'import', isMet: false, decides: false, text: note }))
  const run: BenchRun = {
    v: RUN_VERSION,
    kind: 'run',
    id: into.id,
    label: into.label,
    startedAtMs: isDate(startedAtMs) ? startedAtMs : into.wallMs,
    tookMs: summaries.reduce((sum, { tookMs }) => sum + tookMs, 0),
    fingerprint: {
      sluice: into.sluice,
      node: process.version,
      platform: 'imported',
      cpus: 0,
      server: null,
      models: model === null ? [] : [model],
      rtt: null,
      configHash: null,
      region: null,
    },
    options: {
      target: 'imported',
      model: model ?? 'unknown',
      api: 'chat',
      stream: true,
      workload: source,
      load,
      rounds: rounds.length,
      roundRequests: rounds[0].records.length,
      roundMs: null,
      idle: 0,
      seed: 0,
      slo: [],
      label: into.label,
      maxCostUsd: null,
    },
    phases: [],
    client: null,
    validity: { isValid: true, checks },
    rounds: summaries,
    saturation: null,
    costUsd: null,
    brokenOff: null,
    importedFrom: source,
  }
  return { run, records }
}

const isDate = (atMs: number | null): atMs is number => atMs !== null && !Number.isNaN(new Date(atMs).getTime())

function roundOf(records: readonly BenchRecord[], round: number, rate: number | null): RoundSummary {
  const sendMs = greatest(records.map(({ sent }) => sent))
  const tookMs = greatest(records.map(({ end }) => end))
  return {
    round,
    seed: 0,
    rate,
    concurrency: null,
    fromAtMs: 0,
    sendMs,
    tookMs,
    requests: records.length,
    ok: records.filter(({ outcome }) => outcome === 'ok').length,
    sentRate: sendMs === 0 ? 0 : (records.length / sendMs) * 1_000,
    lagP50Ms: 0,
    lagP99Ms: 0,
    cpuShare: 0,
    loopLagP99Ms: 0,
    keptShare: 1,
    promptsHash: '',
    engine: null,
  }
}
