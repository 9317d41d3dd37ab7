/** What a target tells of itself: who it is, how far away, and its engine's own sums. */
import { connect } from 'node:net'
import { type Clock, systemClock } from '../core/clock.ts'
import { isRecord } from '../core/json.ts'
import { ascending, quantile } from './quantile.ts'
import type { EngineSums, Fingerprint } from './run.ts'
import { keeper } from './told.ts'

const ANSWER_MS = 10_000
const CONNECTS = 10
const MAX_MODELS = 50
const MAX_TEXT = 8 * 1024 * 1024

export class TargetError extends Error {}

export type Target = Pick<Fingerprint, 'server' | 'models' | 'configHash' | 'region'>

/** Throws TargetError: no server, no such path, or a key that it refuses. */
export async function askTarget(
  base: string,
  headers: Readonly<Record<string, string>>,
  withinMs = ANSWER_MS,
): Promise<Target> {
  const kept = keeper(headers)
  const answer = await get(`${base}/v1/models`, headers, withinMs)
  if (answer.status === 401 || answer.status === 403)
    throw new TargetError(`${base} refuses the key (HTTP ${answer.status}): set SLUICE_BENCH_KEY to one that it takes`)
  const { text, status } = answer
  const told = (name: string): string | null => {
    const value = answer.headers.get(name)?.slice(0, 100) ?? null
    // "nginx/1.22 (Debian)" is more than a word; none of its parts may be a key
    return value?.split(/[^\w.:-]+/).every((part) => part === '' || kept(part) !== null) === true ? value : null
  }
  return {
    server: told('server') ?? told('x-powered-by'),
    // Not every server lists its models
    models: status < 400 ? modelsIn(text) : [],
    configHash: told('x-sluice-config'),
    region: told('x-ms-region') ?? told('cf-ray')?.split('-')[1] ?? told('x-amz-cf-pop') ?? told('fly-region'),
  }
}

function modelsIn(text: string): string[] {
  try {
    const value = JSON.parse(text) as unknown
    const list = isRecord(value) && Array.isArray(value['data']) ? (value['data'] as unknown[]) : []
    const ids = list.map((each) => (isRecord(each) ? each['id'] : null))
    return ids.filter((id): id is string => typeof id === 'string').slice(0, MAX_MODELS)
  } catch {
    return []
  }
}

async function get(url: string, headers: Readonly<Record<string, string>>, withinMs = ANSWER_MS) {
  const late = new AbortController()
  const answered = systemClock.after(withinMs, () => late.abort(new DOMException('late', 'TimeoutError')))
  try {
    const answer = await fetch(url, { headers, signal: late.signal })
    return { status: answer.status, headers: answer.headers, text: await textOf(answer) }
  } catch (error) {
    const { cause, message } = error as Error & { cause?: NodeJS.ErrnoException }
    throw new TargetError(`no answer from ${new URL(url).origin} (${cause?.code ?? message}): is the server running?`)
  } finally {
    answered()
    late.abort()
  }
}

/** Its beginning, where it is longer than anything that is looked for. */
async function textOf({ body }: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  if (body !== null)
    for await (const part of body) {
      text += decoder.decode(part, { stream: true })
      if (text.length > MAX_TEXT) break
    }
  return text + decoder.decode()
}

/** By fresh TCP connections: the way there and back, without TLS and without the server's own work. */
export async function roundTrips(clock: Clock, base: string): Promise<Fingerprint['rtt']> {
  const { hostname, port, protocol } = new URL(base)
  const to = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (protocol === 'https:' ? 443 : 80) }
  const times: number[] = []
  for (let i = 0; i < CONNECTS; i++) {
    const fromMono = clock.monoMs()
    const tookMs = await new Promise<number | null>((done) => {
      const socket = connect(to)
      socket.setTimeout(ANSWER_MS, () => socket.destroy())
      socket.once('connect', () => {
        done(clock.monoMs() - fromMono)
        socket.destroy()
      })
      socket.once('error', () => done(null))
      socket.once('close', () => done(null))
    })
    if (tookMs === null) break
    times.push(tookMs)
  }
  const sorted = ascending(times)
  if (sorted.length === 0) return null
  return { p50Ms: quantile(sorted, 0.5)!, minMs: sorted[0], connects: sorted.length }
}

const SUMS = {
  queueMs: 'vllm:request_queue_time_seconds_sum',
  prefillMs: 'vllm:request_prefill_time_seconds_sum',
  decodeMs: 'vllm:request_decode_time_seconds_sum',
} as const
const COUNT = 'vllm:request_queue_time_seconds_count'

/** What vLLM's metrics have added up to; null: there are none. Sums alone: its buckets are too wide to be of use. */
export async function engineSums(url: string, headers: Readonly<Record<string, string>>): Promise<EngineSums | null> {
  const answer = await get(url, headers).catch(() => null)
  return answer === null || answer.status >= 400 ? null : sumsIn(answer.text)
}

export function sumsIn(text: string): EngineSums | null {
  const found = { requests: 0, queueMs: 0, prefillMs: 0, decodeMs: 0 }
  let isThere = false
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) continue
    const [, name, value] = /^([\w:]+)(?:\{[^}]*\})?\s+([-+.\deE]+|NaN)/.exec(line) ?? []
    const number = Number(value)
    if (name === undefined || !Number.isFinite(number)) continue
    if (name === COUNT) {
      found.requests += number
      isThere = true
    }
    for (const sum of Object.keys(SUMS) as Array<keyof typeof SUMS>)
      if (SUMS[sum] === name) found[sum] += number * 1_000
  }
  return isThere ? found : null
}

export const between = (before: EngineSums, after: EngineSums): EngineSums => ({
  requests: after.requests - before.requests,
  queueMs: after.queueMs - before.queueMs,
  prefillMs: after.prefillMs - before.prefillMs,
  decodeMs: after.decodeMs - before.decodeMs,
})
