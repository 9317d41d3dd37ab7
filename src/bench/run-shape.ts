/** Is it a run, as far as reports and comparisons read it? Another version, or another hand, may have written it. */
import { isRecord, type JsonRecord } from '../core/json.ts'

/** What dates take. */
const MAX_AT_MS = 8.64e15

const isText = (value: unknown): boolean => typeof value === 'string'
const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value)
const isTextOrNull = (value: unknown): boolean => value === null || isText(value)
const isNumberOrNull = (value: unknown): boolean => value === null || isNumber(value)
const isFlag = (value: unknown): boolean => typeof value === 'boolean'

type Test = (value: unknown) => boolean
const has =
  (members: Readonly<Record<string, Test>>): Test =>
  (value) =>
    isRecord(value) && Object.entries(members).every(([name, test]) => test(value[name]))
const listOf =
  (test: Test): Test =>
  (value) =>
    Array.isArray(value) && value.every(test)
const orNull =
  (test: Test): Test =>
  (value) =>
    value === null || test(value)

const isArrivals: Test = (value) =>
  isRecord(value) &&
  (value['kind'] === 'poisson' ||
    value['kind'] === 'constant' ||
    (value['kind'] === 'gamma' && isNumber(value['shape'])) ||
    (value['kind'] === 'trace' && isNumber(value['speed'])))
const isLoad: Test = (value) =>
  isRecord(value) &&
  (value['kind'] === 'sweep' ||
    (value['kind'] === 'closed' && isNumber(value['concurrency'])) ||
    (value['kind'] === 'open' && isNumber(value['rate']) && isArrivals(value['arrivals'])))

const MEMBERS: Readonly<Record<string, Test>> = {
  id: isText,
  label: isText,
  startedAtMs: (value) => isNumber(value) && Math.abs(value as number) < MAX_AT_MS,
  tookMs: isNumber,
  fingerprint: has({
    ...{ sluice: isText, node: isText, platform: isText, cpus: isNumber, models: listOf(isText) },
    ...{ server: isTextOrNull, configHash: isTextOrNull, region: isTextOrNull },
    rtt: orNull(has({ p50Ms: isNumber, minMs: isNumber, connects: isNumber })),
  }),
  options: has({
    ...{ target: isText, model: isText, api: isText, stream: isFlag, workload: isText, load: isLoad, label: isText },
    ...{ rounds: isNumber, roundRequests: isNumberOrNull, roundMs: isNumberOrNull, idle: isNumber, seed: isNumber },
    slo: listOf(has({ text: isText, metric: isText, limit: isNumber, is: isText })),
  }),
  phases: listOf(has({ name: isText, fromMs: isNumber, tookMs: isNumber, requests: isNumber, note: isTextOrNull })),
  client: orNull(has({ ttftP50Ms: isNumber, ttftP99Ms: isNumber, lagP99Ms: isNumber, cpuShare: isNumber })),
  validity: has({
    isValid: isFlag,
    checks: listOf(has({ name: isText, isMet: isFlag, decides: isFlag, text: isText })),
  }),
  rounds: listOf(
    has({
      ...{ round: isNumber, seed: isNumber, rate: isNumberOrNull, concurrency: isNumberOrNull, sendMs: isNumber },
      ...{ tookMs: isNumber, requests: isNumber, ok: isNumber, sentRate: isNumber, lagP50Ms: isNumber },
      ...{ lagP99Ms: isNumber, cpuShare: isNumber, keptShare: isNumber, promptsHash: isText },
      engine: orNull(has({ requests: isNumber, queueMs: isNumber, prefillMs: isNumber, decodeMs: isNumber })),
    }),
  ),
  saturation: orNull(has({ rate: isNumber, why: isText })),
  costUsd: isNumberOrNull,
  brokenOff: isTextOrNull,
  importedFrom: isTextOrNull,
}

/** The member that is missing or of another shape; null: it is a run. */
export const wrongMemberOf = (run: JsonRecord): string | null =>
  Object.entries(MEMBERS).find(([name, test]) => !test(run[name]))?.[0] ?? null
