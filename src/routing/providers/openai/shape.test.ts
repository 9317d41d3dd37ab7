import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { ResponseReader, wantedHeaders } from '../http/response.ts'
import { Shapes } from './shape.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const heapMb = (): number => {
  collect()
  return process.memoryUsage().heapUsed / 2 ** 20
}

const chunk = (text: string): string =>
  `{"id":"chatcmpl-0123456789","choices":[{"index":0,"delta":{"content":"${text}"},"finish_reason":null}]}`

it('what an answer leaves to be known by keeps nothing of the reads that brought it', () => {
  const kept: unknown[] = []
  const before = heapMb()
  for (let i = 0; i < 200; i++) {
    const head = 'HTTP/1.1 200 OK\r\nx-request-id: a-name-that-is-long-enough-for-a-slice\r\n\r\n'
    const read = Buffer.from(head + chunk(`${i}`) + 'x'.repeat(1 << 18)).toString('latin1')
    const shapes = new Shapes()
    shapes.learn(read.slice(head.length, head.length + chunk(`${i}`).length))
    const reader = new ResponseReader({ head: (each) => kept.push(each), body() {} }, wantedHeaders(['x-request-id']))
    reader.feed(read)
    kept.push(shapes)
  }
  expect(heapMb() - before).toBeLessThan(10)
  expect(kept.length).toBe(400)
})

it('a chunk is like another if only its texts differ', () => {
  const shapes = new Shapes()
  shapes.learn(chunk('a'))
  for (const text of ['', 'b', 'a longer one', 'a \\"quoted\\" one', '\\u00e9', '{}']) {
    expect(shapes.matches(chunk(text)), text).toBe(true)
    // As it comes: a slice of a read
    expect(shapes.matches(`data: ${chunk(text)}\n\n`.slice(6, -2)), text).toBe(true)
  }
  const like = chunk('b')
  for (const other of [
    like.slice(0, -1),
    `${like} `,
    like.replace('"index":0', '"index":1'),
    like.replace('null', '"stop"'),
    chunk('b\\'),
    chunk('b\\x'),
    chunk('b\n'),
    chunk('\xff'),
    '',
  ])
    expect(shapes.matches(other), other).toBe(false)
})
