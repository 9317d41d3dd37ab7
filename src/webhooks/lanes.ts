/**
 * How many tries run at once: of this process, of each tenant, and of each endpoint. Tenants share the places: the more
 * of them have something to send, the fewer each has, so that one whose receivers all hang holds up no other. An
 * endpoint whose last try failed has one place, and all such have half of their tenant's. Each place that is free again
 * is handed to an event that waits for it, tenants and their endpoints in turns; who comes new does not get it.
 */
import type { Clock } from '../core/clock.ts'
import type { TenantId } from '../core/job.ts'

const MOST = 256
const MOST_OF_TENANT = 16
const MOST_FAILING_OF_TENANT = MOST_OF_TENANT / 2
const MOST_OF_ENDPOINT = 8
/** Endpoints that are remembered while nothing is sent to them. */
const MOST_KNOWN = 10_000
const MOST_WAITING = 1_000
const FIRST_MS = 250
const SHORTEST_MS = 1_000
/** As long as looks at jobs that have not ended: what is put off is written so often. */
const LONGEST_MS = 300_000

interface Lane {
  readonly tenant: TenantId
  running: number
  isFailing: boolean
  /** The last try's. */
  tookMs: number
  /** When those that were put off have had their turns. */
  busyUntilMono: number
  /** Events that are taken up as soon as there is a place; the others when they are due. */
  readonly waiting: Set<string>
}

/** Of those that have tries under way, or events that wait. */
interface Share {
  running: number
  /** Its lanes in use, by endpoint; the next one whose turn it is first. */
  readonly lanes: Map<string, Lane>
}

export class Lanes {
  readonly #clock: Pick<Clock, 'monoMs'>
  readonly #lanes = new Map<string, Lane>()
  /** The next one whose turn it is first. */
  readonly #shares = new Map<TenantId, Share>()
  /** Event → whose place it was handed. */
  readonly #handed = new Map<string, { readonly tenant: TenantId; readonly endpoint: string }>()
  #running = 0

  constructor(clock: Pick<Clock, 'monoMs'>) {
    this.#clock = clock
  }

  get running(): number {
    return this.#running
  }

  /** False: there is no place for it now. */
  take(event: string, tenant: TenantId, endpoint: string): boolean {
    const lane = this.#of(tenant, endpoint)
    lane.waiting.delete(event)
    if (this.#handed.get(event)?.endpoint === endpoint) {
      this.#handed.delete(event)
      return true
    }
    const share = this.#shareOf(endpoint, lane)
    const isTaken = this.#hasPlace(share, lane)
    if (isTaken) this.#count(share, lane, 1)
    else this.#tidy(endpoint, lane)
    return isTaken
  }

  /** `tried`: null where it was not. */
  free(tenant: TenantId, endpoint: string, tried: { readonly tookMs: number; readonly isFailing: boolean } | null) {
    const lane = this.#of(tenant, endpoint)
    this.#count(this.#shareOf(endpoint, lane), lane, -1)
    if (tried !== null) {
      const { tookMs, isFailing } = tried
      lane.tookMs = tookMs
      if (lane.isFailing && !isFailing) lane.busyUntilMono = 0
      lane.isFailing = isFailing
    }
    this.#tidy(endpoint, lane)
  }

  /** Hands a place to the next that waits for one: it has it until `take`, or `drop`. Null: none can be handed. */
  next(): string | null {
    for (const [tenant, share] of this.#shares)
      for (const [endpoint, lane] of share.lanes) {
        // Else it is all tenants that have none
        if (this.#running >= MOST) return null
        const event = lane.waiting.values().next().value
        if (event === undefined || !this.#hasPlace(share, lane)) continue
        lane.waiting.delete(event)
        if (this.#handed.has(event)) continue // its other endpoints are seen to when it is processed
        this.#handed.set(event, { tenant, endpoint })
        this.#count(share, lane, 1)
        share.lanes.delete(endpoint)
        share.lanes.set(endpoint, lane)
        this.#shares.delete(tenant)
        this.#shares.set(tenant, share)
        return event
      }
    return null
  }

  /** It did not use the place that it was handed. */
  drop(event: string): void {
    const handed = this.#handed.get(event)
    if (handed === undefined) return
    this.#handed.delete(event)
    this.free(handed.tenant, handed.endpoint, null)
  }

  /** It found no place, `times` before; for how long it is put off, unless it is handed one. */
  waitMs(tenant: TenantId, endpoint: string, times: number): number {
    const lane = this.#of(tenant, endpoint)
    const now = this.#clock.monoMs()
    lane.busyUntilMono = Math.max(now, lane.busyUntilMono) + lane.tookMs / places(lane)
    const shortestMs = SHORTEST_MS * 2 ** Math.min(times, 20)
    return Math.min(LONGEST_MS, Math.max(shortestMs, lane.busyUntilMono - now))
  }

  /** It is put off. */
  wait(event: string, tenant: TenantId, endpoint: string): void {
    const lane = this.#of(tenant, endpoint)
    if (lane.waiting.size >= MOST_WAITING || this.#lanes.size > MOST_KNOWN) return
    lane.waiting.add(event)
    this.#shareOf(endpoint, lane)
  }

  #hasPlace(share: Share, lane: Lane): boolean {
    if (this.#running >= MOST || lane.running >= places(lane)) return false
    if (share.running >= Math.min(MOST_OF_TENANT, Math.max(1, Math.floor(MOST / this.#shares.size)))) return false
    if (!lane.isFailing) return true
    let failing = 0
    for (const each of share.lanes.values()) if (each.isFailing) failing += each.running
    return failing < MOST_FAILING_OF_TENANT
  }

  #count(share: Share, lane: Lane, by: 1 | -1): void {
    this.#running += by
    share.running += by
    lane.running += by
  }

  #shareOf(endpoint: string, lane: Lane): Share {
    const share = this.#shares.get(lane.tenant) ?? { running: 0, lanes: new Map<string, Lane>() }
    this.#shares.set(lane.tenant, share)
    if (!share.lanes.has(endpoint)) share.lanes.set(endpoint, lane)
    return share
  }

  /** What nothing is sent to and nothing waits for counts no more. */
  #tidy(endpoint: string, lane: Lane): void {
    if (lane.running > 0 || lane.waiting.size > 0) return
    const share = this.#shares.get(lane.tenant)
    share?.lanes.delete(endpoint)
    if (share?.lanes.size === 0) this.#shares.delete(lane.tenant)
  }

  #of(tenant: TenantId, endpoint: string): Lane {
    const known = this.#lanes.get(endpoint)
    if (known !== undefined) return known
    if (this.#lanes.size >= MOST_KNOWN)
      for (const [name, { running, waiting }] of this.#lanes)
        if (running === 0 && waiting.size === 0) {
          this.#lanes.delete(name)
          break
        }
    const lane = {
      tenant,
      running: 0,
      isFailing: false,
      tookMs: FIRST_MS,
      busyUntilMono: 0,
      waiting: new Set<string>(),
    }
    this.#lanes.set(endpoint, lane)
    return lane
  }
}

const places = ({ isFailing }: Lane): number => (isFailing ? 1 : MOST_OF_ENDPOINT)
