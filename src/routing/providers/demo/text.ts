/** The demo's texts: what Sluice did to deliver them. True of the default settings. */

import { PARAGRAPHS } from './paragraphs.ts'
import { pick } from './random.ts'

const STOP = new Set(
  (
    'about above after again against also and another answer any are because been before being below between ' +
    'both but can could did does doing down during each explain few for from further give had has have having ' +
    'here how into its itself just let like make many may me mine more most much must need nor not now off once ' +
    'one only other our out over own please really same say should show some such summarize tell than that the ' +
    'their them then there these they thing things this those through too under until use using very want was ' +
    'were what when where which while who whom why will with would write you your'
  ).split(' '),
)

/** The next paragraph is one of this many that were not used for the longest time. */
const CHOICE = 3
/** A prompt longer than this is not quoted back. */
const QUOTED_CHARS = 80

const GREETINGS = [
  'Hello! I am the demo model: I run inside Sluice, cost nothing, and know little of the world.',
  'Hello, and welcome. I am the demo model that comes with Sluice, so that you can try it without a key.',
] as const

const OPENINGS = [
  'I am only the demo model and have little to say to {it}, but I can tell you how these words reach you.',
  'A real model would have an answer to {it}. I am the demo, and what I know is what Sluice does while I speak.',
  'Something like {it} is for a real model. Until you connect one, let me tell you what happens to this answer.',
] as const

/** The words of a prompt that carry its subject, longest first. */
export function topicsOf(prompt: string): readonly string[] {
  const words = prompt.match(/[\p{L}\p{N}][\p{L}\p{N}'’-]{2,}/gu) ?? []
  const found = [...new Set(words.filter((word) => !STOP.has(word.toLowerCase())))]
  return found.sort((a, b) => b.length - a.length).slice(0, 4)
}

const opening = (prompt: string, random: () => number): string => {
  if (/^\s*(hi|hello|hey|good (morning|day|evening))\b/i.test(prompt)) return pick(random, GREETINGS)
  const said = prompt.trim()
  const it = said === '' || said.length > QUOTED_CHARS || /[\n“”]/.test(said) ? 'that' : `“${said.replace(/\.$/, '')}”`
  return pick(random, OPENINGS).replace('{it}', it)
}

/** Sentences without end, in an order of the prompt's own; a paragraph comes again only after nearly all others. */
function* sentences(prompt: string, random: () => number): Generator<string, never> {
  yield opening(prompt, random)
  let left = PARAGRAPHS.map((paragraph) => [random(), paragraph] as const)
    .sort(([a], [b]) => a - b)
    .map(([, paragraph]) => paragraph)
  for (;;) {
    const next = pick(random, left.slice(0, CHOICE))
    left = [...left.filter((paragraph) => paragraph !== next), next]
    for (const [i, sentence] of next.entries()) yield i === 0 ? `\n\n${sentence}` : sentence
  }
}

/** A word with the space before it, or a mark: about what a tokenizer makes of English. */
export const tokenize = (text: string): string[] => text.match(/\s?[\p{L}\p{N}'’-]+|\s*[^\s\p{L}\p{N}]|\s+/gu) ?? []

/** Exactly `tokens` tokens, or a few sentences of the length that the prompt's own chance gives. */
export function proseTokens(prompt: string, random: () => number, tokens: number | null): string[] {
  const wanted = tokens ?? 50 + Math.floor(random() * 80)
  const out: string[] = []
  for (const sentence of sentences(prompt, random)) {
    if (out.length >= wanted) break
    out.push(...tokenize(out.length === 0 || sentence.startsWith('\n') ? sentence : ` ${sentence}`))
  }
  if (tokens !== null) out.length = wanted
  return out
}
