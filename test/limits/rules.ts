/** The rules that are compared: others' as they are published, and Sluice's, which is the real machine. */
import { type Hold, type LimitedJob, Limits } from '../../src/coordinator/limits/limits.ts'
import { Rate } from '../../src/coordinator/limits/rate.ts'
import { NO_LIMITS } from '../../src/core/limits.ts'
import type { Request, Rule } from './world.ts'

const MINUTE_MS = 60_000
const MODEL_MAX = 4_096

/** A minute's worth at once. */
const bucket = (tokensPerMinute: number): Rate =>
  new Rate({
    unit: 'tokens',
    burst: tokensPerMinute,
    perSecond: tokensPerMinute / 60,
    whenOut: 'debt',
    oversize: 'refuse',
  })

/** Holds a weight, and corrects it at the end. `debt`: also where more was used than was held. */
function holding(
  name: string,
  tokensPerMinute: number,
  weightOf: (request: Request) => number,
  { debt = true, refundsErrors = true } = {},
): Rule<{ readonly held: number; readonly mark: number }> {
  const of = bucket(tokensPerMinute)
  return {
    name,
    admit(request, now) {
      const held = weightOf(request)
      return of.waitMs(held, now) > 0 ? null : { held, mark: of.hold(held, now) }
    },
    end({ held, mark }, _request, used, now) {
      const total = used === null ? (refundsErrors ? 0 : held) : used.inputTokens + used.outputTokens
      of.settle(held, debt ? total : Math.min(held, total), now, mark)
    },
  }
}

/** Nothing is held: what was used is charged when it is known. `check`: what must be free to get in. */
function chargingAfter(name: string, tokensPerMinute: number, check: (request: Request) => number): Rule<true> {
  const of = bucket(tokensPerMinute)
  return {
    name,
    admit: (request, now) => (of.waitMs(check(request), now) > 0 ? null : true),
    end(_held, _request, used, now) {
      if (used !== null) of.hold(used.inputTokens + used.outputTokens, now)
    },
  }
}

/** LiteLLM's fixed window of a minute, characters/4 and max_tokens, or min(1,024, a quarter of the limit). */
function fixedWindow(tokensPerMinute: number): Rule<{ readonly weight: number; readonly window: number }> {
  let [window, taken] = [0, 0]
  const turn = (now: number): void => {
    const at = Math.floor(now / MINUTE_MS)
    if (at === window) return
    window = at
    taken = 0
  }
  return {
    name: 'LiteLLM: chars/4 + max_tokens, or min(1,024, limit/4), fixed window',
    admit(request, now) {
      turn(now)
      const output = request.maxOutputTokens ?? Math.max(request.quarterOfChars, Math.min(1_024, tokensPerMinute / 4))
      const weight = request.quarterOfChars + output
      if (taken + weight > tokensPerMinute) return null
      taken += weight
      return { weight, window }
    },
    end(held, _request, used, now) {
      turn(now)
      if (held.window === window) taken += (used === null ? 0 : used.inputTokens + used.outputTokens) - held.weight
    },
  }
}

function sluice(tokensPerMinute: number): Rule<{ readonly hold: Hold; shown: number }> {
  const all = {
    rates: [
      {
        unit: 'tokens',
        burst: tokensPerMinute,
        perSecond: tokensPerMinute / 60,
        whenOut: 'debt',
        oversize: 'refuse',
      } as const,
    ],
    budgets: [],
    concurrent: null,
  }
  const eachTenant = { all, eachUser: null, eachRun: null, eachKey: null, models: {} }
  const settings = { ...NO_LIMITS, eachTenant }
  const limits = new Limits({
    settings: () => settings,
    outputQuantile: 0.5,
    unknownOutputTokens: 1_024,
  })
  const jobOf = (request: Request): LimitedJob => ({
    tenant: 't',
    model: 'm',
    keyId: 'k',
    user: null,
    run: null,
    route: request.route,
    promptTokens: request.estimate,
    maxOutputTokens: request.maxOutputTokens,
    price: null,
  })
  return {
    name: 'Sluice: learned length, top-up, debt',
    admit(request, now) {
      const got = limits.reserve(jobOf(request), true, now)
      return got === null || 'waitMs' in got ? null : { hold: got, shown: 0 }
    },
    streamed(held, outputTokens, now) {
      held.shown = outputTokens
      return limits.streamed(held.hold, outputTokens, now) === null
    },
    end({ hold, shown }, request, used, now) {
      // A crash brings no usage: what was streamed is counted
      const counted = used ?? (shown > 0 ? { inputTokens: request.estimate, outputTokens: shown } : null)
      limits.settle(hold, counted && { ...counted, requests: 1, nanoDollars: 0 }, now)
      if (request.end === 'done' && used !== null) limits.answered(hold.job, used.outputTokens)
    },
  }
}

/** Each with a bucket of its own, of so many tokens a minute. */
export const rules = (perMinute: number): ReadonlyArray<Rule<never>> =>
  [
    holding('3 × input, no debt', perMinute, ({ quarterOfChars }) => 3 * quarterOfChars, {
      debt: false,
      refundsErrors: false,
    }),
    chargingAfter('charge after (Envoy AI Gateway, Kong, APIM, Cloudflare)', perMinute, () => 1),
    chargingAfter(
      'check max_tokens, charge after (Portkey 2)',
      perMinute,
      ({ quarterOfChars, maxOutputTokens }) => quarterOfChars + (maxOutputTokens ?? 0),
    ),
    holding(
      'input + max_tokens, or the model’s most (Azure, Bedrock)',
      perMinute,
      ({ estimate, maxOutputTokens }) => estimate + (maxOutputTokens ?? MODEL_MAX),
    ),
    fixedWindow(perMinute),
    holding(
      'obleth: chars/4 + max_tokens, or 512',
      perMinute,
      ({ quarterOfChars, maxOutputTokens }) => quarterOfChars + (maxOutputTokens ?? 512),
    ),
    sluice(perMinute),
  ] as unknown as ReadonlyArray<Rule<never>>
