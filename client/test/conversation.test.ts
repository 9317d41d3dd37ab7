/** A conversation as a chat shows it: over both transports, through cuts, in several tabs. A real server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from '../../test/e2e/server.ts'
import { expectInTime } from '../../test/in-time.ts'
import { type Conversation, connect, type Sluice } from '../src/index.ts'
import { type Network, network } from './network.ts'

let server: Server
const opened: Array<{ close(): void }> = []
beforeAll(async () => {
  server = await startServer('models:\n  - { name: demo, provider: demo }\nlog: { level: silent }\n')
})
afterAll(async () => {
  for (const one of opened.reverse()) one.close()
  await server?.stop()
})

const fresh = (): string => `c-${Math.random().toString(36).slice(2)}`
type Transport = 'websocket' | 'sse'
async function tab(transport: Transport): Promise<{ readonly sluice: Sluice; readonly net: Network }> {
  const net = await network(server.url)
  const sluice = connect({ url: net.url, key: server.key, transport })
  opened.push(net, sluice)
  return { sluice, net }
}
const chat = (sluice: Sluice, id: string): Conversation => sluice.conversation(id, { request: { model: 'demo' } })

/** When it is as it should be. */
function until(conversation: Conversation, what: () => boolean): Promise<void> {
  return new Promise((done, fail) => {
    const late = setTimeout(() => {
      stop()
      fail(new Error(`the conversation stays at ${JSON.stringify(shown(conversation), null, 1)}`))
    }, 40_000)
    const look = (): void => {
      if (!what()) return
      clearTimeout(late)
      stop()
      done()
    }
    const stop = conversation.subscribe(look)
    queueMicrotask(look)
  })
}
const shown = ({ turns }: Conversation): readonly string[] => turns.map(({ question, state }) => `${question} ${state}`)
const areDone = (conversation: Conversation, n: number) => (): boolean =>
  conversation.turns.length === n && conversation.turns.every(({ state }) => state === 'done')
/** What the server kept of it. */
async function kept(sluice: Sluice, id: string): Promise<ReadonlyArray<readonly [string, string]>> {
  const { turns } = (await sluice.http('GET', `/v1/conversations/${id}`)) as {
    turns: Array<{ messages: Array<{ content: string }>; answer: { content: string } }>
  }
  return turns.map(({ messages, answer }) => [messages[0].content, answer.content] as const)
}
const told = ({ turns }: Conversation): ReadonlyArray<readonly [string, string]> =>
  turns.map(({ question, answer }) => [question, answer] as const)

describe.each(['websocket', 'sse'] as const)('over %s', { concurrent: true }, (transport) => {
  it('begins empty, takes messages while it answers, and is the same in a second tab and after a reload', async () => {
    const id = fresh()
    const { sluice } = await tab(transport)
    const calls: string[] = []
    const { http } = sluice
    sluice.http = (method, path, body) => {
      calls.push(`${method} ${path}`)
      return http(method, path, body)
    }
    const conversation = chat(sluice, id)
    await until(conversation, () => conversation.loaded)
    expect([conversation.turns.length, conversation.name]).toEqual([0, null])
    // A first look asks for nothing that is not there
    expect(calls).toEqual([])
    conversation.send('One. demo: tokens=500 delay=40 ttft=20')
    conversation.send('Two. demo: tokens=10 delay=5')
    const states = (): string => conversation.turns.map(({ state }) => state).join()
    await until(conversation, () => conversation.turns[0].answer.length > 20 && states() !== 'answering,sending')
    expect(states()).toBe('answering,waiting')
    const second = await tab(transport)
    const other = chat(second.sluice, id)
    await until(other, () => other.turns.length === 2 && other.turns[0].answer !== '')
    const third = other.send('Three. demo: tokens=10 delay=5')
    await until(conversation, () => conversation.turns.length === 3)
    expect(conversation.turns[2].key).toBe(third.key)
    for (const one of [conversation, other]) await until(one, areDone(one, 3))
    expect(told(conversation)).toEqual(await kept(sluice, id))
    expect(told(other)).toEqual(told(conversation))
    await other.rename('Numbers')
    await until(conversation, () => conversation.name === 'Numbers')
    const again = chat((await tab(transport)).sluice, id)
    await until(again, () => again.loaded)
    expect([told(again), again.name]).toEqual([told(conversation), 'Numbers'])
  })

  it('misses no turn over a cut, and says where the answer was cut', async () => {
    const id = fresh()
    const [{ sluice, net }, away] = [await tab(transport), await tab(transport)]
    const conversation = chat(sluice, id)
    conversation.send('Long. demo: tokens=400 delay=20 ttft=20')
    await until(conversation, () => conversation.turns[0].answer.length > 50)
    net.cut()
    await until(conversation, () => conversation.turns[0].cuts.length === 1)
    const elsewhere = chat(away.sluice, id)
    await until(elsewhere, () => elsewhere.turns.length === 1)
    elsewhere.send('While you were away. demo: tokens=3 delay=1')
    await until(conversation, areDone(conversation, 2))
    const [{ cuts, answer }] = conversation.turns
    expect(cuts).toEqual([{ tokens: expect.any(Number), chars: expect.any(Number), awayMs: expect.any(Number) }])
    expect(cuts[0].tokens).toBeGreaterThan(5)
    expect(cuts[0].chars).toBeLessThan(answer.length)
    expect(told(conversation)).toEqual(await kept(sluice, id))
  })

  it('shows what came and went while it was away, in order', async () => {
    const id = fresh()
    const [{ sluice, net }, away] = [await tab(transport), await tab(transport)]
    const conversation = chat(sluice, id)
    conversation.send('First. demo: tokens=3 delay=1')
    await until(conversation, areDone(conversation, 1))
    const elsewhere = chat(away.sluice, id)
    net.muffle()
    for (const word of ['Second', 'Third']) {
      elsewhere.send(`${word}. demo: tokens=3 delay=1`)
      await until(elsewhere, () => elsewhere.turns.every(({ state }) => state === 'done'))
    }
    net.cut()
    await until(conversation, areDone(conversation, 3))
    expect(told(conversation)).toEqual(await kept(sluice, id))
  })

  it('stops what runs and what waits; what fails says why, also to who comes later, and is tried again', async () => {
    const id = fresh()
    const { sluice } = await tab(transport)
    const conversation = chat(sluice, id)
    conversation.send('Endless. demo: tokens=5000 delay=10 ttft=5')
    const waits = conversation.send('Never mind.')
    await until(conversation, () => conversation.turns[0].answer !== '')
    await conversation.stop(waits)
    await until(conversation, () => waits.state === 'stopped')
    await conversation.stop()
    await until(conversation, () => conversation.turns[0].state === 'stopped')
    const fails = conversation.send('Fail. demo: fail=400')
    await until(conversation, () => fails.state === 'failed')
    expect(fails.error?.message).toContain('asked to fail')
    const again = chat((await tab(transport)).sluice, id)
    await until(again, () => again.loaded)
    expect(again.turns.map(({ state, error }) => [state, error?.message])).toEqual(
      conversation.turns.map(({ state, error }) => [state, error?.message]),
    )
    expect(again.retry(again.turns[2]).messages).toEqual(fails.messages)
    await until(conversation, () => conversation.turns.length === 4)
  })

  it('has any name, and pages of what was said long ago', async () => {
    const id = `${fresh()}/../a b\\ü?&#%2F`
    const { sluice } = await tab(transport)
    const conversation = chat(sluice, id)
    for (let i = 0; i < 120; i++) conversation.send(`${i}. demo: tokens=1 delay=0 ttft=0`)
    await until(conversation, areDone(conversation, 120))
    const again = chat((await tab(transport)).sluice, id)
    await until(again, () => again.loaded)
    expect([again.turns.length, again.hasOlder]).toEqual([100, true])
    await again.older()
    expect([shown(again), again.hasOlder]).toEqual([shown(conversation), false])
  })

  it('forgets what is erased, truncated and deleted elsewhere', async () => {
    const id = fresh()
    const { sluice } = await tab(transport)
    const conversation = chat(sluice, id)
    for (const word of ['One', 'Two', 'Three']) conversation.send(`${word}. demo: tokens=3 delay=1`)
    await until(conversation, areDone(conversation, 3))
    await sluice.http('DELETE', `/v1/jobs/${conversation.turns[1].job}`)
    await until(conversation, () => conversation.turns.length === 2)
    expect(told(conversation)).toEqual(await kept(sluice, id))
    await sluice.http('POST', `/v1/conversations/${id}/truncate`, { keep_turns: 1 })
    await until(conversation, () => conversation.turns.length === 1)
    await sluice.http('DELETE', `/v1/conversations/${id}`)
    await until(conversation, () => conversation.turns.length === 0)
  })
})

describe('where WebSockets are blocked', { concurrent: true }, () => {
  it.each(['refused', 'swallowed'] as const)(
    'and %s, at load: falls back at once, through a proxy that passes only /v1',
    async (how) => {
      const net = await network(server.url)
      net.blockUpgrades(how)
      net.onlyV1()
      const from = performance.now()
      const states: string[] = []
      const sluice = connect({ url: net.url, key: server.key, onState: (state) => states.push(state) })
      opened.push(net, sluice)
      const conversation = chat(sluice, fresh())
      await until(conversation, () => conversation.loaded)
      expect([sluice.transport, sluice.state, states.at(-1)]).toEqual(['sse', 'open', 'open'])
      if (how === 'refused') expectInTime(performance.now() - from, 3_000)
      conversation.send('Hello. demo: tokens=5 delay=1')
      await until(conversation, areDone(conversation, 1))
    },
  )

  it('a server that is away is no blocked WebSocket', async () => {
    const net = await network('http://127.0.0.1:9')
    const failures: string[] = []
    const sluice = connect({ url: net.url, key: server.key, onError: ({ code }) => failures.push(code) })
    opened.push(net, sluice)
    await new Promise<void>((done) => {
      const look = setInterval(() => {
        if (failures.length < 3) return
        clearInterval(look)
        done()
      }, 20)
    })
    expect(sluice.transport).toBe('websocket')
  })
})

it.concurrent('watches more conversations than a burst of messages may be', async () => {
  const strict = await startServer(
    'models: [{ name: demo, provider: demo }]\nwebsocket: { max_messages_per_second: 20 }\n',
  )
  const lost: string[] = []
  const sluice = connect({ url: strict.url, key: strict.key, onError: ({ code }) => lost.push(code) })
  try {
    const told = new Set<string>()
    for (let i = 0; i < 130; i++) sluice.watch(`many-${i}`, (frame) => told.add(frame.conversation))
    for (let tries = 0; told.size < 130 && lost.length === 0 && tries < 2_000; tries++)
      await new Promise((done) => setTimeout(done, 20))
    expect([told.size, lost]).toEqual([130, []])
  } finally {
    sluice.close()
    await strict.stop()
  }
})

// Alone: it puts a storage in place that each of them would use
it('what was typed and not accepted outlives a reload of its tab, once and in its place', async () => {
  const kept = new Map<string, string>()
  const storage = {
    getItem: (name: string) => kept.get(name) ?? null,
    setItem: (name: string, value: string) => void kept.set(name, value),
    removeItem: (name: string) => void kept.delete(name),
  }
  Object.assign(globalThis, { sessionStorage: storage })
  try {
    const id = fresh()
    const { sluice, net } = await tab('websocket')
    const before = chat(sluice, id)
    await until(before, () => before.loaded)
    net.muffle() // the server takes it in; nobody hears of that
    before.send('One. demo: tokens=3 delay=1')
    await new Promise((done) => setTimeout(done, 300))
    sluice.close()
    expect(kept.size).toBe(1)
    const again = (await tab('websocket')).sluice
    const after = chat(again, id)
    await until(after, areDone(after, 1))
    after.send('Two. demo: tokens=3 delay=1')
    await until(after, areDone(after, 2))
    expect(shown(after)).toEqual(['One. demo: tokens=3 delay=1 done', 'Two. demo: tokens=3 delay=1 done'])
    expect(kept.size).toBe(0)
    const { data } = (await again.http('GET', `/v1/jobs?conversation=${id}`)) as { data: unknown[] }
    expect(data).toHaveLength(2)
  } finally {
    Reflect.deleteProperty(globalThis, 'sessionStorage')
  }
})
