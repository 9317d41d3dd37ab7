/**
 * Workloads that are drawn from a seed: lengths are log-normal, as those of published traces are, and beginnings are
 * shared as much as such applications share them. docs/bench.md has the numbers.
 */
import type { Message } from '../apis.ts'
import { type Random, random, seedOf } from '../random.ts'
import { words } from './words.ts'
import type { Prompt, Workload } from './workload.ts'

/** Tokens: the median, how far they spread, and bounds. */
interface Lengths {
  readonly median: number
  readonly sigma: number
  readonly min: number
  readonly max: number
}

const draw = ({ normal }: Random, { median, sigma, min, max }: Lengths): number =>
  Math.min(max, Math.max(min, Math.round(median * Math.exp(sigma * normal()))))

type Draw = (round: number, index: number, seed: number) => Prompt

const workload = (name: string, seed: number, one: Draw): Workload => ({
  name,
  hasTimes: false,
  size: null,
  prompts: (round, count) => Array.from({ length: count }, (_, index) => one(round, index, seed)),
})

/** What is drawn for one request, and by number for what many share. */
const OWN = 1
const SHARED = 2

const text = (tokens: number, seed: number): string => words(tokens, seed)

/** People talk: a short system prompt that all share, turns before this one, answers of some length. */
const chat: Draw = (round, index, seed) => {
  const of = seedOf(seed, OWN, round, index)
  const drawn = random(of)
  const messages: Message[] = [{ role: 'system', content: text(60, seedOf(seed, SHARED)) }]
  const turns = Math.min(6, Math.floor(drawn.exponential() * 1.2))
  for (let turn = 0; turn < turns; turn++) {
    const asked = draw(drawn, { median: 40, sigma: 0.9, min: 4, max: 600 })
    const answered = draw(drawn, { median: 150, sigma: 0.7, min: 10, max: 800 })
    messages.push({ role: 'user', content: text(asked, seedOf(of, turn, 1)) })
    messages.push({ role: 'assistant', content: text(answered, seedOf(of, turn, 2)) })
  }
  messages.push({ role: 'user', content: text(draw(drawn, { median: 50, sigma: 1, min: 4, max: 1_500 }), of) })
  return { messages, maxTokens: draw(drawn, { median: 180, sigma: 0.7, min: 16, max: 1_024 }), atMs: null }
}

const DOCUMENTS = 50
/** Questions on documents: instructions and often-used documents are shared, popular ones more (Zipf). */
const rag: Draw = (round, index, seed) => {
  const of = seedOf(seed, OWN, round, index)
  const drawn = random(of)
  const found = new Set<number>()
  while (found.size < 4) found.add(Math.floor(DOCUMENTS ** drawn.next()) - 1)
  // The popular ones first, as a cache of beginnings has them
  const documents = [...found]
    .sort((a, b) => a - b)
    .map((each) => {
      const shared = seedOf(seed, SHARED, each + 1)
      const length = draw(random(shared), { median: 700, sigma: 0.4, min: 200, max: 2_000 })
      return `Document ${each + 1}\n${text(length, shared)}`
    })
  const question = text(draw(drawn, { median: 25, sigma: 0.6, min: 6, max: 120 }), of)
  return {
    messages: [
      { role: 'system', content: text(300, seedOf(seed, SHARED)) },
      { role: 'user', content: `${documents.join('\n\n')}\n\nQuestion: ${question}` },
    ],
    maxTokens: draw(drawn, { median: 160, sigma: 0.6, min: 16, max: 800 }),
    atMs: null,
  }
}

const STEPS = 6
/** Agents: tools and instructions that all share, and a history that grows with each step of a task; short answers. */
const agent: Draw = (round, index, seed) => {
  const step = index % STEPS
  const task = seedOf(seed, OWN, round, Math.floor(index / STEPS))
  const messages: Message[] = [
    { role: 'system', content: text(1_800, seedOf(seed, SHARED)) },
    { role: 'user', content: text(draw(random(task), { median: 120, sigma: 0.7, min: 20, max: 800 }), task) },
  ]
  for (let before = 0; before < step; before++) {
    const drawn = random(seedOf(task, before))
    const called = draw(drawn, { median: 60, sigma: 0.5, min: 16, max: 300 })
    const result = draw(drawn, { median: 450, sigma: 0.9, min: 30, max: 3_000 })
    messages.push({ role: 'assistant', content: text(called, seedOf(task, before, 1)) })
    messages.push({ role: 'user', content: `Result of the tool:\n${text(result, seedOf(task, before, 2))}` })
  }
  const drawn = random(seedOf(task, step, 3))
  return { messages, maxTokens: draw(drawn, { median: 70, sigma: 0.6, min: 16, max: 400 }), atMs: null }
}

/** Code completion: a file or several before the place, a short piece after it. */
const code: Draw = (round, index, seed) => {
  const of = seedOf(seed, OWN, round, index)
  const drawn = random(of)
  const file = seedOf(seed, SHARED, drawn.below(20) + 1)
  const context = draw(random(file), { median: 1_800, sigma: 0.8, min: 200, max: 8_000 })
  const local = draw(drawn, { median: 200, sigma: 0.7, min: 20, max: 1_200 })
  return {
    messages: [
      { role: 'system', content: text(120, seedOf(seed, SHARED)) },
      { role: 'user', content: `${text(context, file)}\n\n${text(local, of)}` },
    ],
    maxTokens: draw(drawn, { median: 90, sigma: 0.9, min: 8, max: 700 }),
    atMs: null,
  }
}

const DRAWS: ReadonlyMap<string, Draw> = new Map([
  ['chat', chat],
  ['rag', rag],
  ['agent', agent],
  ['code', code],
])

export const GENERATED: readonly string[] = [...DRAWS.keys()]

/** Null: there is none of this name. */
export function generated(name: string, seed: number): Workload | null {
  const one = DRAWS.get(name)
  return one === undefined ? null : workload(name, seed, one)
}
