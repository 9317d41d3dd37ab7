import { describe, expect, it } from 'vitest'
import { checkIntakes, intakes, pools } from './intakes.ts'

const given = (list: readonly object[]) => ({
  intakes: intakes.parse({ rabbitmq: { url: 'amqp://127.0.0.1:5672' }, kafka: { brokers: ['127.0.0.1:9092'] } }),
  pools: pools.parse(list),
})

function problems(...list: readonly object[]): string[] {
  const found: string[] = []
  checkIntakes(given(list), (path, message) => void found.push(`${path.join('.')}: ${message}`))
  return found
}

const rabbit = (name: string, ...routes: string[]): object => ({ name, intake: 'rabbitmq', routes })

describe('pools of one RabbitMQ', () => {
  it.each([
    [[rabbit('image', 'image.*'), rabbit('text', '#')], 'pools.1.routes', ['"#" of "text"', '"image.*" of "image"']],
    [[rabbit('text'), rabbit('text.small')], 'pools.1.routes', ['"text.small.#"', '"text.#"']],
    [[rabbit('a', 'x'), rabbit('b', 'y', 'x')], 'pools.1.routes', ['"x" of "b" and "x" of "a"']],
  ])('one key is not for two of them: %j', (list, at, parts) => {
    const [problem, ...rest] = problems(...list)
    expect(rest).toEqual([])
    expect(problem.startsWith(`${at}: `)).toBe(true)
    for (const part of parts) expect(problem).toContain(part)
  })

  it('a queue is of one alone', () => {
    expect(problems(rabbit('text', 'a'), rabbit('text.dead', 'b'))).toEqual([
      'pools.1.name: "text.dead" and "text" would share a queue with dead letters: rename one',
    ])
    expect(problems(rabbit('text.dead', 'a'), rabbit('text', 'b'))).toHaveLength(1)
    expect(problems(rabbit('bindings', 'a'))[0]).toMatch(/^pools\.0\.name: /)
  })

  it('others go together', () => {
    expect(problems(rabbit('image', 'image.*', 'image.#'), rabbit('text'), rabbit('texts', 'texts'))).toEqual([])
    const kafka = (name: string): object => ({ name, intake: 'kafka' })
    expect(problems(kafka('text'), kafka('text.small'), kafka('text.dead'), rabbit('x', '#'))).toEqual([])
  })
})

it.each(['a.**.b', '*a', 'a#', 'a..b', '', 'x'.repeat(256)])('%j is no route', (route) => {
  expect(pools.safeParse([rabbit('a', route)]).success).toBe(false)
})
