/**
 * Two hours of a tenant's requests on a virtual clock, to compare rules of admission. Five kinds of requests, of which
 * a third says how long the answer may be; the length of an answer has nothing to do with that of its prompt. A burst
 * every 45 s; some are canceled, fail, or lose their worker. The same seed brings the same requests to every rule.
 */
import { type Random, random } from '../simulation/random.ts'

export interface Request {
  readonly route: string
  /** What the provider will count. */
  readonly inputTokens: number
  /** What it will come to if nothing stops it. */
  readonly outputTokens: number
  /** As the client asked; null: it didn't. */
  readonly maxOutputTokens: number | null
  /** What an estimate makes of the prompt: of Sluice's kind, and by four characters a token. */
  readonly estimate: number
  readonly quarterOfChars: number
  /** Tokens after which it is canceled, its provider fails (0: before the first byte), or its worker dies. */
  readonly endsAfter: number | null
  readonly end: 'done' | 'canceled' | 'failed' | 'crashed'
}

/** A rule of admission. `now`: ms. */
export interface Rule<Held = unknown> {
  readonly name: string
  /** Null: refused. */
  admit(request: Request, now: number): Held | null
  /** Output tokens so far; false: the answer is cut. */
  streamed?(held: Held, outputTokens: number, now: number): boolean
  /** How it ended, and what the provider counted; null: no usage came (error before the first byte, crash). */
  end(held: Held, request: Request, used: { inputTokens: number; outputTokens: number } | null, now: number): void
}

export interface Result {
  /** Tokens used, of what the limit allows in that time. */
  readonly utilisation: number
  /** The most used in any 60 s, of a minute's limit: the limit and a full burst are 2. */
  readonly peak: number
  readonly admitted: number
  /** Refused though what it would have used was free. */
  readonly falselyRefused: number
  /** Of those over 8,000 tokens of prompt that the limit can hold at all. */
  readonly bigServed: number
}

const ROUTES = [
  { route: 'chat', share: 0.4, input: 500, spread: 0.9, output: 250, outputSpread: 0.9 },
  { route: 'rag', share: 0.2, input: 5_000, spread: 0.6, output: 300, outputSpread: 0.7 },
  { route: 'extract', share: 0.15, input: 3_000, spread: 0.7, output: 120, outputSpread: 0.5 },
  { route: 'agent', share: 0.15, input: 8_000, spread: 0.6, output: 400, outputSpread: 1 },
  { route: 'long', share: 0.1, input: 300, spread: 0.8, output: 2_000, outputSpread: 0.6 },
] as const
/** Tokens a second, and the time to the first. */
const TOKENS_PER_MS = 0.05
const TTFT_MS = 500
const STEP_TOKENS = 25
const MINUTE_MS = 60_000
const BURST_EVERY_MS = 45_000
const BIG_TOKENS = 8_000

interface Arrival {
  readonly atMs: number
  readonly request: Request
}

/** Requests of `hours`, `load` times what the limit allows on average. */
export function arrivals(seed: number, tokensPerMinute: number, load: number, hours: number): Arrival[] {
  const r = random(seed)
  const mean = ROUTES.reduce(
    (sum, one) => sum + one.share * (meanOf(one.input, one.spread) + meanOf(one.output, one.outputSpread)),
    0,
  )
  const perMs = (load * tokensPerMinute) / MINUTE_MS / mean
  const found: Arrival[] = []
  const untilMs = hours * 3_600_000
  // A third of all comes in bursts
  for (let atMs = 0; atMs < untilMs; atMs += -Math.log(1 - uniform(r)) / (perMs * (2 / 3)))
    found.push({ atMs, request: requestOf(r) })
  for (let atMs = 0; atMs < untilMs; atMs += BURST_EVERY_MS)
    for (let i = Math.round((BURST_EVERY_MS * perMs) / 3); i > 0; i--) found.push({ atMs, request: requestOf(r) })
  return found.sort((a, b) => a.atMs - b.atMs)
}

/** 200 requests at once whose answers are long and whose prompts are short. */
export function longBurst(seed: number): Arrival[] {
  const r = random(seed)
  return Array.from({ length: 200 }, () => ({
    atMs: 0,
    request: { ...requestOf(r, ROUTES[4]), end: 'done', endsAfter: null },
  }))
}

function requestOf(r: Random, of?: (typeof ROUTES)[number]): Request {
  const route = of ?? pickRoute(uniform(r))
  const inputTokens = Math.max(1, Math.round(lognormal(r, route.input, route.spread)))
  const outputTokens = Math.max(1, Math.round(lognormal(r, route.output, route.outputSpread)))
  const asks = uniform(r) >= 0.35
  const fate = uniform(r)
  const end = fate < 0.08 ? 'canceled' : fate < 0.11 ? 'failed' : fate < 0.112 ? 'crashed' : 'done'
  const max = asks
    ? Math.max(outputTokens, [256, 512, 1_024, 2_048, 4_096].find((n) => n >= outputTokens * (1 + uniform(r))) ?? 8_192)
    : null
  return {
    route: route.route,
    inputTokens,
    outputTokens,
    maxOutputTokens: max,
    estimate: Math.max(1, Math.round(inputTokens * lognormal(r, 1, 0.04))),
    quarterOfChars: Math.max(1, Math.round(inputTokens * lognormal(r, 0.9, 0.3))),
    end,
    endsAfter: end === 'done' ? null : end === 'failed' && uniform(r) < 0.7 ? 0 : Math.floor(uniform(r) * outputTokens),
  }
}

function pickRoute(at: number): (typeof ROUTES)[number] {
  let end = 0
  for (const route of ROUTES) {
    end += route.share
    if (at < end) return route
  }
  return ROUTES[0]
}

const uniform = (r: Random): number => r.below(2 ** 32) / 2 ** 32
const normal = (r: Random): number => Math.sqrt(-2 * Math.log(1 - uniform(r))) * Math.cos(2 * Math.PI * uniform(r))
const lognormal = (r: Random, median: number, sigma: number): number => median * Math.exp(sigma * normal(r))
const meanOf = (median: number, sigma: number): number => median * Math.exp(sigma ** 2 / 2)

interface Event {
  readonly atMs: number
  readonly seq: number
  readonly run: () => void
}

export function simulate<Held>(rule: Rule<Held>, coming: readonly Arrival[], tokensPerMinute: number): Result {
  const events = new Heap()
  let now = 0
  const used: Array<{ atMs: number; tokens: number }> = []
  const use = (tokens: number): void => {
    if (tokens > 0) used.push({ atMs: now, tokens })
  }
  let [admitted, falselyRefused, big, bigServed] = [0, 0, 0, 0]
  // What is truly used, in a bucket of the same size
  let [level, levelAtMs] = [0, 0]
  const fits = (tokens: number): boolean => {
    level = Math.max(0, level - ((now - levelAtMs) * tokensPerMinute) / MINUTE_MS)
    levelAtMs = now
    return level + tokens <= tokensPerMinute
  }
  const begin = (request: Request): void => {
    const stop = request.endsAfter ?? request.outputTokens
    const total = request.endsAfter === 0 && request.end === 'failed' ? 0 : request.inputTokens + stop
    const isBig = request.inputTokens > BIG_TOKENS && request.inputTokens + stop <= tokensPerMinute
    if (isBig) big++
    const didFit = fits(total)
    const held = rule.admit(request, now)
    if (held === null) {
      if (didFit) falselyRefused++
      return
    }
    admitted++
    if (isBig) bigServed++
    level += total
    const end = (outputTokens: number): void => {
      const isCounted = request.end !== 'crashed' && !(request.end === 'failed' && outputTokens === 0)
      rule.end(held, request, isCounted ? { inputTokens: request.inputTokens, outputTokens } : null, now)
    }
    if (request.end === 'failed' && stop === 0) {
      events.push(now + TTFT_MS, () => end(0))
      return
    }
    use(request.inputTokens)
    const go = (shown: number): void => {
      const goesOn = rule.streamed?.(held, shown, now) ?? true
      if (!goesOn || shown >= stop) return end(shown)
      const more = Math.min(STEP_TOKENS, stop - shown)
      events.push(now + more / TOKENS_PER_MS, () => {
        use(more)
        go(shown + more)
      })
    }
    events.push(now + TTFT_MS, () => go(0))
  }
  for (const { atMs, request } of coming) events.push(atMs, () => begin(request))
  for (let event = events.pop(); event !== null; event = events.pop()) {
    now = event.atMs
    event.run()
  }
  const lastMs = Math.max(MINUTE_MS, coming.at(-1)!.atMs)
  const total = used.reduce((sum, { tokens }) => sum + tokens, 0)
  let [peak, inWindow, from] = [0, 0, 0]
  for (const { atMs, tokens } of used) {
    inWindow += tokens
    while (used[from]!.atMs <= atMs - MINUTE_MS) inWindow -= used[from++]!.tokens
    peak = Math.max(peak, inWindow)
  }
  return {
    utilisation: total / ((lastMs / MINUTE_MS) * tokensPerMinute),
    peak: peak / tokensPerMinute,
    admitted: admitted / coming.length,
    falselyRefused: falselyRefused / coming.length,
    bigServed: big === 0 ? 1 : bigServed / big,
  }
}

class Heap {
  readonly #heap: Event[] = []
  #seq = 0

  push(atMs: number, run: () => void): void {
    const event = { atMs, seq: this.#seq++, run }
    let at = this.#heap.push(event) - 1
    for (let up = (at - 1) >> 1; at > 0 && before(event, this.#heap[up]!); up = (at - 1) >> 1) {
      this.#heap[at] = this.#heap[up]!
      at = up
    }
    this.#heap[at] = event
  }

  pop(): Event | null {
    const [first] = this.#heap
    const last = this.#heap.pop()
    if (first === undefined || last === undefined) return null
    if (first === last) return first
    let at = 0
    for (;;) {
      let down = 2 * at + 1
      if (down >= this.#heap.length) break
      if (down + 1 < this.#heap.length && before(this.#heap[down + 1]!, this.#heap[down]!)) down++
      if (!before(this.#heap[down]!, last)) break
      this.#heap[at] = this.#heap[down]!
      at = down
    }
    this.#heap[at] = last
    return first
  }
}

const before = (a: Event, b: Event): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.seq < b.seq)
