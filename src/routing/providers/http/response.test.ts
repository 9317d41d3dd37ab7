/** What a response's head may hold; whole answers over real sockets are in ../openai/hostile.test.ts. */
import { expect, it } from 'vitest'
import { type ResponseHead, ResponseReader, wantedHeaders } from './response.ts'

const WANTED = wantedHeaders(['x-a', 'retry-after', 'date'])

function read(text: string, cuts: readonly number[] = []) {
  const heads: ResponseHead[] = []
  let body = ''
  const sink = {
    head: (head: ResponseHead) => void heads.push(head),
    body(piece: string) {
      body += piece
    },
  }
  const reader = new ResponseReader(sink, WANTED)
  let used = 0
  for (const [i, from] of [0, ...cuts].entries()) used += reader.feed(text.slice(from, cuts[i] ?? text.length))
  const head = heads.map(({ status, headers }) => ({ status, ...Object.fromEntries(headers) }))
  return { head, body, fault: reader.fault, done: reader.done, reusable: reader.reusable, used }
}
const headed = (...lines: string[]): string =>
  `HTTP/1.1 200 OK\r\n${lines.map((line) => `${line}\r\n`).join('')}content-length: 2\r\n\r\nok`

it('keeps what is wanted, in lower case, joined and trimmed, wherever it is cut', () => {
  const text =
    'HTTP/1.1 103 Early Hints\r\nX-A: early\r\n\r\nHTTP/1.1 200 OK\r\nServer: x\r\n' +
    'X-a: \t one \t\r\nRETRY-AFTER:1\r\nset-cookie: a=b; c\r\nX-A:two\tthree\r\n' +
    'Connection: Close\r\nx-aa: no\r\ny-a: no\r\nContent-Length: 5\r\n\r\nhello'
  const whole = read(text)
  expect(whole).toEqual({
    head: [
      {
        status: 200,
        'x-a': 'one, two\tthree',
        'retry-after': '1',
        connection: 'Close',
        'content-length': '5',
      },
    ],
    body: 'hello',
    fault: null,
    done: true,
    reusable: false,
    used: text.length,
  })
  for (let cut = 1; cut < text.length; cut++) expect(read(text, [cut]), `cut at ${cut}`).toEqual(whole)
  expect(read(text, [...text].map((_, i) => i).slice(1))).toEqual(whole)
  // The line end of RFC 9112's lenient readers
  expect(read(text.replaceAll('\r\n', '\n')).head).toEqual(whole.head)
})

it.each([
  ['no name', ': x'],
  ['no colon', 'x-a'],
  ['a folded line', ' x-a: 1'],
  ['a space in a name', 'x a: 1'],
  ['a space before the colon', 'x-a : 1'],
  ['a name that is no token', 'x(a): 1'],
  ['a name beyond ASCII', 'x-\xe9: 1'],
  ['a NUL in a value that nobody wants', 'x-b: a\0b'],
  ['a CR in a value', 'x-b: a\rb'],
  ['a DEL in a value', 'x-a: \x7f'],
])('refuses %s', (_name, line) => {
  expect(read(headed(line))).toMatchObject({ head: [], fault: 'bad header', reusable: false })
})

it('takes any other byte in a value, and no value', () => {
  expect(read(headed('x-a: \xe9\xff~ "', 'date:')).head).toEqual([
    { status: 200, 'x-a': '\xe9\xff~ "', date: '', 'content-length': '2' },
  ])
})

it('counts headers that nobody wants', () => {
  const many = (n: number): string => headed(...Array.from({ length: n }, (_, i) => `x-${i}: 1`))
  expect(read(many(255))).toMatchObject({ done: true })
  expect(read(many(256))).toMatchObject({ fault: 'too many headers', head: [] })
  expect(read(headed(`x-big: ${'a'.repeat(64 * 1024)}`))).toMatchObject({ fault: 'headers too large', head: [] })
})

it('a header that is read in pieces costs its length, not its square', () => {
  const text = headed(`x-a: ${'a'.repeat(60_000)}`)
  const cuts = Array.from({ length: text.length - 1 }, (_, i) => i + 1)
  expect(read(text, cuts)).toMatchObject({ done: true, body: 'ok' })
})
