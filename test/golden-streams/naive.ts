/**
 * What other rules would say of the golden streams: `node test/golden-streams/naive.ts` prints the table of
 * docs/golden-streams.md.
 */
import { SseLines } from '../../src/bench/sse.ts'
import { STREAMS } from './streams.ts'

interface Event {
  readonly ms: number
  readonly text: string
  readonly json: any
}

function eventsOf(reads: (typeof STREAMS)[number]['reads']): Event[] {
  const events: Event[] = []
  const decoder = new TextDecoder()
  let now = 0
  const lines = new SseLines({
    event: (text) => void events.push({ ms: now, text, json: text === '[DONE]' ? {} : JSON.parse(text) }),
    comment: () => {},
  })
  for (const [ms, bytes] of reads) {
    now = ms
    lines.feed(typeof bytes === 'string' ? bytes : decoder.decode(bytes, { stream: true }))
  }
  lines.end()
  return events
}

type Rule = (events: readonly Event[]) => readonly [ttft: number | null, perToken: number | null]

const usageOf = (events: readonly Event[]): number | null =>
  events.findLast(({ json }) => json.usage)?.json.usage.completion_tokens ?? null
const contentOf = ({ json }: Event): boolean => Boolean(json.choices?.[0]?.delta?.content)

export const RULES: Readonly<Record<string, Rule>> = {
  /** As in most scripts: the first event, and one token for each that has a delta. */
  'first event, events as tokens': (events) => {
    const chunks = events.filter(({ json }) => typeof json.choices?.[0]?.delta?.content === 'string').length
    const first = events[0].ms
    return [first, (events.at(-1)!.ms - first) / Math.max(chunks - 1, 1)]
  },
  /** As vLLM's `bench serve`: the first message with choices. */
  'first message with choices': (events) => {
    const chosen = events.filter(({ json }) => json.choices?.length > 0)
    const tokens = usageOf(events)
    if (chosen.length === 0) return [null, null]
    return [chosen[0].ms, tokens === null || tokens < 2 ? null : (chosen.at(-1)!.ms - chosen[0].ms) / (tokens - 1)]
  },
  /** As tools do that know no reasoning. */
  'content alone': (events) => {
    const chosen = events.filter(contentOf)
    const tokens = usageOf(events)
    if (chosen.length === 0) return [null, null]
    return [chosen[0].ms, tokens === null || tokens < 2 ? null : (chosen.at(-1)!.ms - chosen[0].ms) / (tokens - 1)]
  },
}

export const naiveOf = (name: string, rule: string): ReturnType<Rule> =>
  RULES[rule](eventsOf(STREAMS.find((stream) => stream.name === name)!.reads))

const text = (value: number | null): string => (value === null ? '–' : String(Number(value.toFixed(1))))

/** The table, as Markdown. */
export function tableOf(): string {
  const names = Object.keys(RULES)
  const rows = STREAMS.map(({ name, expected }) => {
    const told = names.map((rule) => naiveOf(name, rule).map(text).join(' · '))
    return `| ${[name, `${text(expected.first_token_ms)} · ${text(expected.tpot_ms)}`, ...told].join(' | ')} |`
  })
  return [
    `| stream | true | ${names.join(' | ')} |`,
    `| --- | ${'--- | '.repeat(names.length + 1)}`.trim(),
    ...rows,
  ].join('\n')
}

if (import.meta.main) console.log(tableOf())
