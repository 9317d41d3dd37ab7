/**
 * What weighing a request costs: the walk over its members, and the count of its texts, as on every submit.
 *
 *   node scripts/weigh-load.ts
 *
 * CPU of the process a call, by the median of 15 rounds; the first calls, before the code is optimized, apart.
 */
import { performance } from 'node:perf_hooks'
import { HOSTILE, KINDS, randomNumbers } from '../src/admission/estimate/testing/kinds.ts'
import { tokensIn, vocabulary } from '../src/admission/estimate/testing/vocabulary.ts'
import { Weights } from '../src/admission/estimate/weights.ts'
import { promptOf } from '../src/core/text-request.ts'

const ROUNDS = 15
const random = randomNumbers(1)
const user = (content: unknown) => ({ messages: [{ role: 'user', content }] })
const image = Buffer.from(`\x89PNG\r\n\x1a\n0000IHDR${'\0\0\x04\0'.repeat(2)}${'x'.repeat(3e6)}`, 'latin1')
const url = `data:image/png;base64,${image.toString('base64')}`

const REQUESTS: ReadonlyArray<readonly [string, object]> = [
  ['a question of 12 words', user('Which of these contracts can be terminated before the end of next year?')],
  ['prose, 2,000 characters', user(KINDS['prose'](random, 2_000))],
  ['code, 8,000 characters', user(KINDS['code'](random, 8_000))],
  ['prose, 80,000 tokens', user(KINDS['prose'](random, 330_000))],
  ['JSON, 80,000 tokens', user(KINDS['JSON, compact'](random, 210_000))],
  [
    'a transcript of 2,000 messages',
    { messages: Array.from({ length: 2_000 }, () => user('Go on, please.').messages[0]) },
  ],
  ['5 images of 4 MB', user(Array.from({ length: 5 }, () => ({ type: 'image_url', image_url: { url } })))],
  ['16 MB of one ideograph', user('的'.repeat(16_000_000))],
  ['100,000 messages', { messages: Array.from({ length: 100_000 }, () => user('x').messages[0]) }],
  ['4,000,000 numbers', { input: Array.from({ length: 4_000_000 }, (_, i) => i % 10) }],
  ...[1_680, 8_400].flatMap((chars) =>
    Object.entries(HOSTILE).map(([kind, make]) => [`${kind}, ${chars} characters`, user(make(chars))] as const),
  ),
]

const weights = new Weights(vocabulary, 1)
const bytesOf = new Map(REQUESTS.map(([name, request]) => [name, JSON.stringify(request).length]))
const weigh = (name: string, request: object): number =>
  weights.weigh({ tenant: 'acme', model: 'gpt-4o', prompt: promptOf({ ...request }, bytesOf.get(name)!) }).tokens

const cpuUs = (): number => {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** In µs of CPU: of the first call, and the median of the rounds. */
function costOf(name: string, request: object): readonly [number, number] {
  let before = cpuUs()
  weigh(name, request)
  const first = cpuUs() - before
  const rounds = Array.from({ length: ROUNDS }, () => {
    const until = performance.now() + 30
    let calls = 0
    before = cpuUs()
    while (performance.now() < until) {
      weigh(name, request)
      calls++
    }
    return (cpuUs() - before) / calls
  }).sort((a, b) => a - b)
  return [first, rounds[ROUNDS >> 1]]
}

console.log(
  '| request | tokens, estimated | counted | CPU of the first, µs | CPU, µs |\n| --- | --- | --- | --- | --- |',
)
for (const [name, request] of REQUESTS) {
  const [first, median] = costOf(name, request)
  const { texts, frameTokens } = promptOf({ ...request }, 0)
  const isCounted = texts.length === 1 && texts[0].length <= 400_000
  const counted = isCounted ? String(tokensIn(texts[0]) + frameTokens) : ''
  console.log(`| ${name} | ${weigh(name, request)} | ${counted} | ${first.toFixed(0)} | ${median.toFixed(0)} |`)
}
