/** Texts of the kinds that prompts are made of, each as long as is asked for. */
import { readFileSync } from 'node:fs'

const file = (path: string): string => readFileSync(new URL(`../../../../${path}`, import.meta.url), 'utf8')

/** The same numbers each time, from 0 to 1. */
export function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0
    return (state >>> 0) / 2 ** 32
  }
}

const CHINESE = [
  '人工智能正在改变我们的生活方式。',
  '机器学习模型可以从大量数据中学习规律，并在新的情况下做出预测。',
  '自然语言处理技术让计算机能够理解和生成人类语言。',
  '请帮我把下面这段合同翻译成英文，并指出其中的风险条款。',
]
const RUSSIAN = [
  'Машинное обучение позволяет компьютерам находить закономерности в данных. ',
  'Разработчики создают сервисы, которыми пользуются миллионы людей. ',
  'Очередь запросов растёт быстро, а ответ приходит медленно. ',
]
const CHAT = ['lol 😂 ok', 'thanks!! 🙏🙏', 'see you at 8pm?', 'no way 🎉 congrats', 'hmm, not sure tbh', '👍']

function repeated(some: readonly string[], between = '') {
  return (random: () => number, chars: number): string => {
    let text = ''
    while (text.length < chars) text += some[Math.floor(random() * some.length)] + between
    return text.slice(0, chars)
  }
}

function partOf(whole: string) {
  return (random: () => number, chars: number): string => {
    const long = whole.repeat(Math.ceil(chars / whole.length) + 1)
    const from = Math.floor(random() * (long.length - chars))
    return long.slice(from, from + chars)
  }
}

const hex = (random: () => number): string => Math.floor(random() * 16).toString(16)
const digit = (random: () => number, values: number): number => Math.floor(random() * values)

function lines(line: (random: () => number, i: number) => string) {
  return (random: () => number, chars: number): string => {
    let text = ''
    for (let i = 0; text.length < chars; i++) text += `${line(random, i)}\n`
    return text.slice(0, chars)
  }
}

const lock = file('package-lock.json')

/** Each makes a text of this many characters. */
export const KINDS: Readonly<Record<string, (random: () => number, chars: number) => string>> = {
  markdown: partOf(file('PROTOCOL.md') + file('ARCHITECTURE.md')),
  prose: partOf(file('docs/failures.md').replace(/[#*`|_-]/g, '')),
  code: partOf(file('src/worker/run-job.ts') + file('src/coordinator/scheduler/scheduler.ts')),
  'JSON, pretty': partOf(lock),
  'JSON, compact': partOf(JSON.stringify(JSON.parse(lock))),
  Chinese: repeated(CHINESE),
  Russian: repeated(RUSSIAN),
  'chat with emoji': repeated(CHAT, '\n'),
  base64: partOf(Buffer.from(lock).toString('base64')),
  uuids: lines((random) => 'xxxxxxxx-xxxx-4xxx-xxxx-xxxxxxxxxxxx'.replaceAll('x', () => hex(random))),
  numbers: lines((random, i) => `${i},${(random() * 1000).toFixed(2)},${digit(random, 1e6)},${random() > 0.5}`),
  logs: lines(
    (random, i) =>
      `2026-11-26T14:0${i % 10}:1${digit(random, 10)}Z INFO worker-${digit(random, 99)} ` +
      `job took ${digit(random, 9999)} ms`,
  ),
}

/** Each made to cost as much as it can: an endless word, or characters that are no tokens. */
export const HOSTILE: Readonly<Record<string, (chars: number) => string>> = {
  'one ideograph': (chars) => '的'.repeat(chars),
  'one letter': (chars) => 'a'.repeat(chars),
  spaces: (chars) => ' '.repeat(chars),
  'line breaks': (chars) => ' \n'.repeat(chars / 2),
  emoji: (chars) => '😀'.repeat(chars / 2),
  'half pairs': (chars) => '\ud83d'.repeat(chars),
  Thai: (chars) => 'สวัสดีชาวโลก'.repeat(chars / 12),
  marks: (chars) => 'e\u0301\u0323'.repeat(chars / 3),
  'rare ideographs': (chars) => ideographs(chars, 0x4e00, 20_000),
  'ideographs beyond 16 bits': (chars) => ideographs(chars / 2, 0x20000, 40_000),
  punctuation: (chars) => '!@#$%^&*()_+-='.repeat(chars / 14),
  base64: (chars) => KINDS['base64'](randomNumbers(1), chars),
}

function ideographs(count: number, first: number, values: number): string {
  const random = randomNumbers(7)
  const codes = Array.from({ length: Math.min(count, 10_000) }, () => first + Math.floor(random() * values))
  const some = codes.map((code) => String.fromCodePoint(code)).join('')
  return some.repeat(Math.ceil(count / codes.length))
}
