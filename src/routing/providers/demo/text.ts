/** English that reads well enough for a demonstration, and takes up the words of the prompt. */
import { pick } from './random.ts'

const STOP = new Set(
  'about above after again against also and another answer any are because been before being below between both but can could did does doing down during each explain few for from further give had has have having here how into its itself just let like make many may me mine more most much must need nor not now off once one only other our out over own please really same say should show some such summarize tell than that the their them then there these they thing things this those through too under until use using very want was were what when where which while who whom why will with would write you your'.split(
    ' ',
  ),
)

const OPENINGS = {
  greeting: [
    'Hello! Good to hear from you.',
    'Hi there, and welcome.',
    'Hello! I am the demo model, and I am listening.',
  ],
  question: [
    'That is a good question.',
    'Let us look at this step by step.',
    'There is a short answer and a long one; here is a bit of both.',
    'The honest answer is: it depends, and here is on what.',
  ],
  request: ['Gladly.', 'Here is a first draft.', 'Of course; this is how I would begin.', 'Happy to help with that.'],
} as const

const TOPIC = [
  'When people speak of {t}, they often mean {a} {n}.',
  'The first thing to know about {t} is how much depends on {n}.',
  'Think of {t} as {n} that never stands still.',
  'What makes {t} {a} is the way it brings {n} and {n} together.',
  'Most of what we know of {t} was learned by {g} {n}.',
  'Without {n}, {t} would be a much smaller subject.',
  'You asked about {t}, so let me begin with {n}.',
] as const

const BODY = [
  'In practice {n} matters more than {n}.',
  'It helps to start small, with {a} {n}, and to grow from there.',
  'A {a} example says more than a rule, so consider {n} in the early morning.',
  'Some would call this {a}; others see only {n}.',
  'There are two sides to it: {n}, which is {a}, and {n}, which is not.',
  'By {g} {n} one learns what {n} can bear.',
  'Each step rests on the one before it, much like {n}.',
  'The {a} part is to keep {n} apart from {n}.',
  'Given enough time, even {a} {n} finds its shape.',
  'That is why {g} {n} comes first and everything else later.',
  'Nothing here is {a} for its own sake.',
  'If one thing goes wrong, {n} carries on, and so does the rest.',
] as const

const CLOSINGS = [
  'I hope this helps with {t}.',
  'Ask me again, and I will say more about {t}.',
  'In short: {t} rewards {a} {n}.',
  'That is the heart of {t}, as far as I can see.',
] as const
const NOUNS =
  'patience,a steady rhythm,clear water,old maps,quiet work,good tools,a river in spring,honest measurement,small steps,careful listening,open windows,a long memory,plain words,shared effort,fresh bread,the evening light,a well-kept garden,simple rules,the turning of the seasons,loose threads'.split(
    ',',
  )
const ADJECTIVES =
  'careful,bright,unexpected,patient,simple,durable,quiet,generous,practical,curious,steady,honest,light,remarkable'.split(
    ',',
  )
const GERUNDS = 'watching,measuring,following,sharing,mending,sorting,gathering,questioning'.split(',')

/** The words of a prompt that carry its subject, longest first. */
export function topicsOf(prompt: string): readonly string[] {
  const words = prompt.match(/[\p{L}\p{N}][\p{L}\p{N}'’-]{2,}/gu) ?? []
  const found = [...new Set(words.filter((word) => !STOP.has(word.toLowerCase())))]
  return found.sort((a, b) => b.length - a.length).slice(0, 4)
}

/** Sentences without end. */
function* sentences(prompt: string, random: () => number): Generator<string, never> {
  const topics = topicsOf(prompt)
  const topic = (): string => (topics.length === 0 ? 'this' : pick(random, topics))
  const fill = (template: string): string =>
    template.replace(/\{([tnag])\}/g, (_, slot) =>
      slot === 't' ? topic() : pick(random, slot === 'n' ? NOUNS : slot === 'a' ? ADJECTIVES : GERUNDS),
    )
  const sentence = (templates: readonly string[]): string => {
    const text = fill(pick(random, templates)).replace(/\b([Aa]) (?=[aeiou])/g, '$1n ')
    return text[0].toUpperCase() + text.slice(1)
  }
  const opening = /^\s*(hi|hello|hey|good (morning|day|evening))\b/i.test(prompt)
    ? 'greeting'
    : prompt.includes('?')
      ? 'question'
      : 'request'
  yield pick(random, OPENINGS[opening])
  yield sentence(TOPIC)
  for (let i = 1; ; i++) {
    yield i % 4 === 0 ? sentence(TOPIC) : sentence(BODY)
    if (i % 5 === 0) yield `\n\n${sentence(BODY)}`
    if (i % 9 === 0) yield sentence(CLOSINGS)
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
