/** One try to deliver an event at one endpoint, and what becomes of it there. */

import type { Clock } from '../core/clock.ts'
import type { Ids } from '../core/ids.ts'
import type { TenantId } from '../core/job.ts'
import { type Counter, counter, counters, type Family, type Histogram, histogram } from '../core/numbers.ts'
import { type Allowed, readTarget } from './address.ts'
import type { Endpoints, Known } from './endpoints.ts'
import { type Happening, payloadOf, type Tried } from './event.ts'
import type { GivenUp } from './given-up.ts'
import type { Resolve } from './names.ts'
import { type Posted, post } from './post.ts'
import { signed } from './signature.ts'
import { nextTryMs } from './tries.ts'

export interface TryingParts {
  readonly endpoints: Endpoints
  readonly clock: Clock
  readonly ids: Pick<Ids, 'jitter'>
  readonly allowed: () => readonly Allowed[]
  readonly rules: () => { readonly timeoutMs: number; readonly keepMs: number }
  /** An endpoint that was told to go away, or an event that is not tried any more. */
  readonly onGivenUp: (about: GivenUp) => void
  readonly resolve?: Resolve
}

export class Trying {
  readonly #parts: TryingParts
  readonly delivered: Counter = counter('webhooks_delivered', 'Events that a receiver has taken')
  readonly failed: Counter = counter('webhook_tries_failed', 'Tries to deliver an event that failed')
  readonly givenUp: Counter = counter('webhooks_given_up', 'Events that are not tried any more at an endpoint')
  readonly delay: Histogram = histogram(
    'webhook_delay_ms',
    'From an event to the answer of a receiver that has taken it',
  )
  readonly results: Family<Counter> = counters(
    'webhook_tries',
    'Tries to deliver an event, by what came of them',
    'result',
  )

  constructor(parts: TryingParts) {
    this.#parts = parts
  }

  /** What is `stopped` before it has its answer is as if it had not been tried. Rejects where the store is away. */
  async once(id: string, tenant: TenantId, happened: Happening, tried: Tried, stopped: AbortSignal): Promise<Tried> {
    const { endpoints, clock, ids } = this.#parts
    const endpoint = await endpoints.get(tenant, tried.endpoint)
    const nowMs = clock.wallMs()
    const ended = (state: Tried['state'], error: string | null, status: number | null, tries = tried.tries): Tried => {
      if (state === 'failed') {
        this.givenUp.add()
        this.#parts.onGivenUp({ event: id, webhook: tried.endpoint, reason: error ?? '' })
      }
      return { ...tried, state, tries, status, error, lastAtMs: Math.floor(nowMs), nextAtMs: null }
    }
    if (endpoint === null) return ended('failed', 'The webhook was removed.', null)
    if (!endpoint.enabled) return ended('failed', 'The webhook is disabled.', null)
    const secrets = endpoints.secretsOf(endpoint)
    if (secrets.length === 0) return ended('failed', 'Its secret can not be read on this server: rotate it.', null)
    const body = payloadOf(id, happened)
    const headers = signed(id, Math.floor(nowMs / 1_000), body, secrets)
    const posted = await this.#post(endpoint, headers, body, stopped)
    if (stopped.aborted && posted.kind === 'failed') return { ...tried, nextAtMs: Math.floor(clock.wallMs()) }
    this.results.of(resultOf(posted)).add()
    const tries = tried.tries + 1
    if (posted.kind === 'answered' && isTaken(posted.status)) {
      this.delivered.add()
      this.delay.record(clock.wallMs() - happened.atMs)
      return ended('delivered', null, posted.status, tries)
    }
    this.failed.add()
    const status = posted.kind === 'answered' ? posted.status : null
    const error = posted.kind === 'answered' ? `It answered ${posted.status}.` : posted.reason
    if (status === 410) {
      await endpoints.change(tenant, endpoint.id, { enabled: false }, 'It answered 410 (gone).').catch(() => {})
      return ended('failed', error, status, tries)
    }
    const retryAfterMs = posted.kind === 'answered' ? posted.retryAfterMs : null
    const inMs = nextTryMs(tries, retryAfterMs, ids.jitter())
    if (inMs === null) return ended('failed', error, status, tries)
    const lastAtMs = Math.floor(nowMs)
    return { ...tried, tries, status, error, lastAtMs, nextAtMs: Math.ceil(clock.wallMs() + inMs) }
  }

  #post(
    endpoint: Known,
    headers: Readonly<Record<string, string>>,
    body: string,
    stopped: AbortSignal,
  ): Promise<Posted> {
    const { clock, resolve, rules, allowed } = this.#parts
    const { timeoutMs } = rules()
    try {
      // Again: what the settings allow may have changed
      const target = readTarget(endpoint.url, allowed())
      return post(target, headers, body, { clock, timeoutMs, ...(resolve !== undefined && { resolve }) }, stopped)
    } catch (error) {
      return Promise.resolve({ kind: 'failed', why: 'address', reason: (error as Error).message })
    }
  }
}

const isTaken = (status: number): boolean => status >= 200 && status < 300

/** A fixed list, as it is a label: `delivered`, or why not. */
const resultOf = (posted: Posted): string =>
  posted.kind === 'failed' ? posted.why : isTaken(posted.status) ? 'delivered' : `${Math.floor(posted.status / 100)}xx`
