/**
 * Held by every provider: the Provider port. A rig brings a provider with a model that does as its name says (that of
 * `sluice mock`: "-n5" tokens, "-d20" ms apart, "-f50" ms to the first, "-b50" tokens a write, "-e429" fails, "-k2"
 * cuts, "-s2" falls silent, "-g2" talks nonsense after 2). Cases are functions, so that planted bugs can be held
 * against them too.
 */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { Provider, ProviderCall, ProviderEnd, ProviderRun, Timeouts } from '../../src/core/ports/provider.ts'
import { toText } from '../../src/core/record.ts'
import type { RawUpstream } from '../../src/routing/providers/testing/upstream.ts'

export interface Rig {
  readonly provider: Provider
  /** "mock", "demo": what names of models begin with. */
  readonly model: string
  /** How the script of a case becomes a request, if not by the model's name. */
  request?(script: string): object
  /** Calls that the upstream is still answering; null: there is no upstream. */
  active(): number | null
  close(): Promise<void>
}

export interface OpenRig {
  (): Promise<Rig>
  /** The same provider, with an upstream that sends raw bytes. */
  raw?(upstream: RawUpstream): Promise<Rig>
}

export interface ProviderCase {
  readonly name: string
  /**
   * `documents`: it can answer in one piece. `embeddings`: it has them. `upstream`: what it sends comes over a wire.
   * `faults`: its rig can make it fail. `continues`: it prolongs. A rig that can't declares why.
   */
  readonly needs?: 'documents' | 'embeddings' | 'upstream' | 'faults' | 'continues'
  readonly run: (rig: Rig, open: OpenRig) => Promise<void>
}

export const PATIENT: Timeouts = { ttftMs: 20_000, interTokenMs: 20_000, totalMs: 40_000 }
/** What comes after the end comes within this, if it comes. */
const SETTLE_MS = 60
const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

interface Told {
  readonly what: 'events' | 'document' | 'end'
  readonly texts: readonly string[]
}

interface Asked {
  readonly run: ProviderRun
  readonly told: Told[]
  readonly usage: () => unknown
  readonly end: Promise<ProviderEnd>
  /** All events so far. */
  events(): readonly string[]
}

interface Options extends Partial<ProviderCall> {
  /** Called within the sink, at its n-th call. */
  readonly inSink?: (asked: Asked, n: number) => void
}

function ask(rig: Rig, script: string, options: Options = {}): Asked {
  const { inSink, ...call } = options
  const told: Told[] = []
  let usage: unknown
  let hasStarted = false
  let n = 0
  const end = Promise.withResolvers<ProviderEnd>()
  const tell = (what: Told['what'], texts: readonly string[] = []): void => {
    expect(hasStarted, 'nothing is told before `start` has returned').toBe(true)
    told.push({ what, texts })
    inSink?.(asked, n++)
  }
  const body = rig.request?.(script) ?? {
    model: `${rig.model}${script}`,
    messages: [{ role: 'user', content: 'Tell me of rivers.' }],
  }
  const run = rig.provider.start(
    { kind: 'chat', body: Buffer.from(JSON.stringify(body)), stream: true, requestId: 'r', timeouts: PATIENT, ...call },
    {
      events: (payloads) => tell('events', payloads.map(toText)),
      document(bytes, reported) {
        usage = reported
        tell('document', [toText(bytes)])
      },
      end(how) {
        tell('end')
        end.resolve(how)
      },
    },
  )
  const events = (): readonly string[] => told.filter(({ what }) => what === 'events').flatMap(({ texts }) => texts)
  const asked: Asked = { run, told, usage: () => usage, end: end.promise, events }
  hasStarted = true
  return asked
}

/** It ended, once, and nothing followed. */
async function ended(asked: Asked): Promise<ProviderEnd> {
  const end = await asked.end
  await sleep(SETTLE_MS)
  expect(asked.told.filter(({ what }) => what === 'end')).toHaveLength(1)
  expect(asked.told.at(-1)?.what).toBe('end')
  return end
}

async function failure(asked: Asked): Promise<Extract<ProviderEnd, { kind: 'failed' }>> {
  const end = await ended(asked)
  if (end.kind !== 'failed') throw new Error(`it ended as ${end.kind}`)
  expect(end.error).toBeInstanceOf(SluiceError)
  return end
}

interface Chunk {
  readonly choices: ReadonlyArray<{ readonly delta: { readonly content?: string }; readonly finish_reason: unknown }>
  readonly usage?: { readonly completion_tokens: number }
}
const chunksOf = (asked: Asked): readonly Chunk[] => asked.events().map((text) => JSON.parse(text) as Chunk)
const contents = (asked: Asked): readonly string[] =>
  chunksOf(asked).flatMap(({ choices }) => choices.flatMap(({ delta }) => delta.content || []))
const textOf = (asked: Asked): string => contents(asked).join('')

/** Waits for it, and not for a time. */
async function until(done: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 15_000
  while (!done()) {
    if (performance.now() > deadline) throw new Error(`not within 15 s: ${what}`)
    await sleep(2)
  }
}
const isIdle = (rig: Rig): boolean => (rig.active() ?? 0) === 0
const begun = (asked: Asked): Promise<void> => until(() => contents(asked).length > 0, 'a token')

export const providerCases: readonly ProviderCase[] = [
  {
    name: 'a stream: chunks of the canonical dialect, each one line of JSON, in order; then `done`, once',
    async run(rig) {
      const asked = ask(rig, '-n20-d1')
      expect(await ended(asked)).toMatchObject({ kind: 'done' })
      expect(contents(asked)).toHaveLength(20)
      for (const text of asked.events()) expect(text).not.toMatch(/[\r\n]/)
      const chunks = chunksOf(asked)
      expect(chunks.filter(({ choices }) => choices.some((c) => c.finish_reason !== null))).toHaveLength(1)
      expect(chunks.at(-1)?.usage?.completion_tokens).toBe(20)
    },
  },
  {
    name: 'many tokens at once lose none',
    async run(rig) {
      const asked = ask(rig, '-n3000-d0-b50')
      expect((await ended(asked)).kind).toBe('done')
      expect(contents(asked)).toHaveLength(3_000)
    },
  },
  {
    name: 'a document comes in one piece, before the end, with its usage',
    needs: 'documents',
    async run(rig) {
      const asked = ask(rig, '-n5', { stream: false })
      expect((await ended(asked)).kind).toBe('done')
      expect(asked.told.map(({ what }) => what)).toEqual(['document', 'end'])
      expect(JSON.parse(asked.told[0].texts[0])).toMatchObject({ object: 'chat.completion' })
      expect(asked.usage()).toMatchObject({ completion_tokens: 5 })
    },
  },
  {
    name: 'an embedding is a document',
    needs: 'embeddings',
    async run(rig) {
      const body = Buffer.from(JSON.stringify({ model: `${rig.model}-n1`, input: ['a', 'b'] }))
      const asked = ask(rig, '', { kind: 'embedding', stream: false, body })
      expect((await ended(asked)).kind).toBe('done')
      expect(asked.told.map(({ what }) => what)).toEqual(['document', 'end'])
      expect(JSON.parse(asked.told[0].texts[0])).toMatchObject({ data: [{ index: 0 }, { index: 1 }] })
    },
  },
  {
    name: "the upstream's bytes come through untouched: unknown members, escapes, numbers, order",
    needs: 'upstream',
    async run(_rig, open) {
      const { RawUpstream, response, stream } = await import('../../src/routing/providers/testing/upstream.ts')
      const upstream = new RawUpstream()
      await upstream.listen()
      const raw = await open.raw!(upstream)
      try {
        const odd = [
          '{"z":1.50,"choices":[{"index":0,"delta":{"content":"\\u00e9 世 \\/"},"finish_reason":null}],"a":{"n":1e2}}',
          '{ "choices" : [ {"index":0, "delta":{"content":"Hi"},"x":[ ],"finish_reason": null} ] }',
          '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}',
        ]
        upstream.says(stream(...odd, '[DONE]'))
        const streamed = ask(raw, '')
        expect((await ended(streamed)).kind).toBe('done')
        expect(streamed.events()).toEqual(odd)
        const document =
          '{\n "choices":[{"index":0,"message":{"role":"assistant","content":"\\u00e9"},"finish_reason":"stop"}],' +
          ' "x": 1.0 }\n'
        upstream.says(response('200 OK', document))
        const whole = ask(raw, '', { stream: false })
        expect((await ended(whole)).kind).toBe('done')
        expect(whole.told[0]).toEqual({ what: 'document', texts: [document] })
      } finally {
        await raw.close()
        await upstream.stop()
      }
    },
  },
  {
    name: "an upstream's rate limits come with its end, as numbers, good or bad",
    needs: 'upstream',
    async run(_rig, open) {
      const { RawUpstream, response } = await import('../../src/routing/providers/testing/upstream.ts')
      const upstream = new RawUpstream()
      await upstream.listen()
      const raw = await open.raw!(upstream)
      const headers =
        'x-ratelimit-limit-requests: 500\r\nX-RateLimit-Remaining-Tokens: 7\r\nx-ratelimit-reset-tokens: 1m0.5s\r\n' +
        'x-ratelimit-remaining-requests: plenty\r\n'
      const limits = { requests: { limit: 500 }, tokens: { remaining: 7, resetMs: 60_500 } }
      const answer = '{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}'
      try {
        upstream.says(response('200 OK', answer, headers))
        expect(await ended(ask(raw, '', { stream: false }))).toEqual({ kind: 'done', limits })
        upstream.says(response('429 Too Many Requests', '{"error":{"message":"slow down"}}', headers))
        expect(await ended(ask(raw, ''))).toMatchObject({ kind: 'failed', limits })
        upstream.says(response('200 OK', answer))
        expect(await ended(ask(raw, '', { stream: false }))).toEqual({ kind: 'done' })
      } finally {
        await raw.close()
        await upstream.stop()
      }
    },
  },
  {
    name: "the call's id and trace go to the upstream; an id that no header can hold ends the call",
    needs: 'upstream',
    async run(_rig, open) {
      const { RawUpstream, response } = await import('../../src/routing/providers/testing/upstream.ts')
      const upstream = new RawUpstream()
      await upstream.listen()
      const raw = await open.raw!(upstream)
      const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' as const
      try {
        upstream.says(response('500 Error', ''))
        await ended(ask(raw, '', { requestId: 'req_7.2', trace }))
        expect(upstream.asked[0]).toContain(`\r\nx-request-id: req_7.2\r\n`)
        expect(upstream.asked[0]).toContain(`\r\ntraceparent: ${trace}\r\n`)
        await ended(ask(raw, ''))
        expect(upstream.asked[1]).not.toContain('traceparent')
        for (const requestId of ['a\r\nx-evil: 1', 'a\0b', 'a\u2028', '\x85'])
          expect((await failure(ask(raw, '', { requestId }))).retry).toBe(false)
        expect(upstream.asked).toHaveLength(2)
      } finally {
        await raw.close()
        await upstream.stop()
      }
    },
  },
  {
    name: 'abort stops it within the turn: `aborted`, once, and nothing else; the upstream is let go',
    async run(rig) {
      const asked = ask(rig, '-n10000-d1')
      await begun(asked)
      asked.run.abort()
      const { length } = asked.events()
      expect(await ended(asked)).toEqual({ kind: 'aborted' })
      expect(asked.events()).toHaveLength(length)
      await until(() => isIdle(rig), 'the upstream is let go')
    },
  },
  {
    name: 'abort before anything came, twice, and after the end',
    async run(rig) {
      const asked = ask(rig, '-n5-f5000')
      asked.run.abort()
      asked.run.abort()
      expect(await ended(asked)).toEqual({ kind: 'aborted' })
      expect(asked.events()).toEqual([])
      asked.run.abort()
      const done = ask(rig, '-n2-d0')
      await done.end
      done.run.abort()
      expect(await ended(done)).toMatchObject({ kind: 'done' })
      await until(() => isIdle(rig), 'the upstream is let go')
    },
  },
  {
    name: 'abort within the sink: that call was the last but for the end',
    async run(rig) {
      const asked = ask(rig, '-n100-d0', { inSink: ({ run }, n) => n === 0 && run.abort() })
      expect(await ended(asked)).toEqual({ kind: 'aborted' })
      expect(asked.told.map(({ what }) => what)).toEqual(['events', 'end'])
    },
  },
  {
    name: 'pause stops the reading, resume goes on where it was, and nothing is lost',
    async run(rig) {
      const asked = ask(rig, '-n200-d2')
      await begun(asked)
      asked.run.pause()
      // What one read had brought
      await sleep(5)
      const { length } = asked.events()
      await sleep(4 * SETTLE_MS)
      expect(asked.events()).toHaveLength(length)
      asked.run.resume()
      expect((await ended(asked)).kind).toBe('done')
      expect(contents(asked)).toHaveLength(200)
    },
  },
  {
    name: 'a pause that is longer than the silence allowed is no silence',
    async run(rig) {
      const asked = ask(rig, '-n60-d10', { timeouts: { ...PATIENT, interTokenMs: 1_200 } })
      await begun(asked)
      asked.run.pause()
      await sleep(2_500)
      asked.run.resume()
      expect(await ended(asked)).toMatchObject({ kind: 'done' })
      expect(contents(asked)).toHaveLength(60)
    },
  },
  {
    name: 'a call can be aborted while it is paused',
    async run(rig) {
      const asked = ask(rig, '-n1000-d1')
      await begun(asked)
      asked.run.pause()
      await sleep(5)
      asked.run.abort()
      expect(await ended(asked)).toEqual({ kind: 'aborted' })
      await until(() => isIdle(rig), 'the upstream is let go')
    },
  },
  {
    name: 'a cut is a failure that may be tried again; what came before it was told',
    needs: 'faults',
    async run(rig) {
      const asked = ask(rig, '-n20-d5-k3')
      expect(await failure(asked)).toMatchObject({ retry: true, error: { code: 'provider_cut' } })
      expect(contents(asked)).toHaveLength(3)
    },
  },
  {
    name: 'nonsense is a failure, and never an answer',
    needs: 'faults',
    async run(rig) {
      const asked = ask(rig, '-n20-d1-g3')
      expect(await failure(asked)).toMatchObject({ error: { code: 'provider_garbage' } })
      expect(contents(asked)).toHaveLength(3)
    },
  },
  {
    name: 'a status is told as what it means: try again, elsewhere, or not at all',
    needs: 'faults',
    async run(rig) {
      for (const [status, code, retry] of [
        [429, 'provider_rate_limited', true],
        [500, 'provider_error', true],
        [401, 'provider_auth', 'elsewhere'],
        [404, 'provider_rejected', 'elsewhere'],
        [400, 'provider_rejected', false],
      ] as const) {
        const end = await failure(ask(rig, `-e${status}-f0`))
        expect({ code: end.error.code, retry: end.retry }, `HTTP ${status}`).toEqual({ code, retry })
        if (status === 429) expect(end.error.retryAfterMs).toBeGreaterThanOrEqual(1_000)
      }
    },
  },
  {
    name: 'silence: before the first text it is tried elsewhere, after it again; the whole call has a limit too',
    needs: 'faults',
    async run(rig) {
      const first = ask(rig, '-n5-f20000', { timeouts: { ...PATIENT, ttftMs: 300 } })
      const later = ask(rig, '-n5-d0-s2', { timeouts: { ...PATIENT, interTokenMs: 300 } })
      const slow = ask(rig, '-n10000-d20', { timeouts: { ...PATIENT, totalMs: 600 } })
      const ends = await Promise.all([first, later, slow].map(failure))
      expect(ends.map(({ error }) => error.code)).toEqual(Array(3).fill('provider_timeout'))
      expect(ends.map(({ retry }) => retry)).toEqual(['elsewhere', true, 'elsewhere'])
      expect(contents(later)).toHaveLength(2)
      await until(() => isIdle(rig), 'the upstream is let go')
    },
  },
  {
    name: 'start never throws, whatever the body: it ends',
    async run(rig) {
      for (const body of ['Hello', '', '{"model"', '[]', 'null']) await ended(ask(rig, '', { body: Buffer.from(body) }))
    },
  },
  {
    name: 'prolongs a given beginning, and does not repeat it',
    needs: 'continues',
    async run(rig) {
      expect(rig.provider.continues).toBe(true)
      const whole = ask(rig, '-n30-d0')
      await ended(whole)
      const prefix = contents(whole).slice(0, 10).join('')
      const rest = ask(rig, '-n30-d0', { prefix })
      expect((await ended(rest)).kind).toBe('done')
      expect(prefix + textOf(rest)).toBe(textOf(whole))
    },
  },
  {
    name: 'a hundred calls at once: each its own answer, and its own end',
    async run(rig) {
      const calls = Array.from({ length: 100 }, (_, i) => ({ i, asked: ask(rig, `-n${i + 1}-d${i % 3}`) }))
      for (const { i, asked } of calls) {
        expect((await asked.end).kind).toBe('done')
        expect(contents(asked)).toHaveLength(i + 1)
      }
      await Promise.all(calls.map(({ asked }) => ended(asked)))
      await until(() => isIdle(rig), 'the upstream is let go')
    },
  },
  {
    name: 'check tells whether it can be reached, and never rejects',
    async run(rig) {
      expect(await rig.provider.check()).toMatchObject({ ok: true, detail: expect.any(String) })
    },
  },
  {
    name: 'close ends what runs, once each; what starts afterwards ends too',
    async run(rig) {
      const running = [ask(rig, '-n10000-d5'), ask(rig, '-n5-f20000')]
      await begun(running[0])
      rig.provider.close()
      rig.provider.close()
      for (const asked of running) expect((await failure(asked)).retry).not.toBe(false)
      await until(() => isIdle(rig), 'the upstream is let go')
      await failure(ask(rig, '-n2-d0'))
    },
  },
]

/** Runs a case on a rig of its own. */
export async function runProviderCase(one: ProviderCase, open: OpenRig): Promise<void> {
  const rig = await open()
  try {
    await one.run(rig, open)
  } finally {
    await rig.close()
  }
}
