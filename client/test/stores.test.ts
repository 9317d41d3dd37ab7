/** What React renders: values of a conversation and of a job, over a connection that is cut. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { type Server, startServer } from '../../test/e2e/server.ts'
import { connect, type Sluice } from '../src/index.ts'
import { conversationStore, jobStore } from '../src/stores.ts'
import { type Network, network } from './network.ts'

let server: Server
let net: Network
let sluice: Sluice
beforeAll(async () => {
  server = await startServer('models:\n  - { name: demo, provider: demo }\nlog: { level: silent }\n')
  net = await network(server.url)
})
afterEach(() => sluice?.close())
afterAll(async () => {
  net?.close()
  await server?.stop()
})

const open = (): Sluice => (sluice = connect({ url: net.url, key: server.key }))
const fresh = (): string => `chat-${Math.random().toString(36).slice(2)}`
const request = { model: 'demo' }
const until = (what: () => unknown): ReturnType<typeof expect.poll> => expect.poll(what, { interval: 5 })

it('tells a conversation as values that never change, and keeps what has not', async () => {
  open()
  const store = conversationStore(sluice, fresh())
  expect(store.value).toMatchObject({ turns: [], status: 'loading' })
  expect(() => store.send('x')).toThrow('not shown any more')
  const stop = store.subscribe(() => {})
  await until(() => store.value.status).toBe('ready')
  store.send('One. demo: tokens=20 delay=2', { request })
  await until(() => store.value.turns.map(({ state }) => state)).toEqual(['done'])
  const { turns } = store.value
  store.send('Two. demo: tokens=300 delay=5 ttft=20', { request })
  store.send('Three. demo: tokens=5', { request })
  await until(() => store.value.status).toBe('answering')
  await until(() => store.value.place).toBe(1)
  const during = store.value
  const before = structuredClone(during)
  net.cut()
  await until(() => store.value.turns[1].answer.length).toBeGreaterThan(during.turns[1].answer.length + 100)
  expect(during).toEqual(before)
  expect(store.value.turns[0]).toBe(turns[0])
  expect(store.value.turns[1]).not.toBe(during.turns[1])
  // By the value of a turn, too
  await store.stop(store.value.turns[2])
  await store.stop()
  await until(() => store.value.turns.map(({ state }) => state)).toEqual(['done', 'stopped', 'stopped'])
  await until(() => store.value.status).toBe('ready')
  stop()
})

it('tells sixty times a second at most', async () => {
  let changed = (): void => {}
  const live = { turns: [], loaded: true, name: null as string | null, hasOlder: false, close() {} }
  const fake = {
    conversation(_id: string, { onChange }: { onChange(): void }) {
      changed = onChange
      return live
    },
  }
  const store = conversationStore(fake as unknown as Sluice, 'c1')
  let told = 0
  const stop = store.subscribe(() => told++)
  const began = performance.now()
  for (let i = 0; i < 100; i++) {
    live.name = `Name ${i}`
    changed()
    await new Promise((next) => setTimeout(next, 1))
  }
  expect(told).toBeLessThanOrEqual((performance.now() - began) / 15 + 1)
  await until(() => store.value.name).toBe('Name 99')
  stop()
})

it('shares a conversation, closes it with the last who shows it, and opens it anew for the next', async () => {
  open()
  const id = fresh()
  const store = conversationStore(sluice, id)
  const [one, two] = [store.subscribe(() => {}), store.subscribe(() => {})]
  expect(conversationStore(sluice, id)).toBe(store)
  store.send('Go on. demo: tokens=100 delay=5', { request })
  await until(() => store.value.status).toBe('answering')
  one()
  one()
  await until(() => store.value.status).toBe('answering')
  two()
  expect(conversationStore(sluice, id)).not.toBe(store)
  // As where React mounts twice: the same store again. Its job went on
  const three = store.subscribe(() => {})
  await until(() => store.value.turns.map(({ state }) => state)).toEqual(['done'])
  three()
})

it('follows a job to its end, tells its place in line, and why it failed', async () => {
  open()
  const lane = fresh()
  const ask = (content: string): object => ({ ...request, messages: [{ role: 'user', content }] })
  const jobs = ['demo: tokens=60 delay=5', 'demo: tokens=10', 'demo: fail=400', 'demo: tokens=5000 delay=5'].map(
    (content) => sluice.submit({ request: ask(content) as { model: string }, lane }),
  )
  const stores = jobs.map(jobStore)
  expect(jobStore(jobs[0])).toBe(stores[0])
  for (const store of stores) store.subscribe(() => {})
  await until(() => stores.map(({ value }) => value.state)).toEqual(['answering', 'waiting', 'waiting', 'waiting'])
  await until(() => stores.map(({ value }) => value.place)).toEqual([null, 1, 2, 3])
  await until(() => stores[3].value.state).toBe('answering')
  await jobs[3].cancel()
  await until(() => stores.map(({ value }) => value.state)).toEqual(['done', 'done', 'failed', 'stopped'])
  expect(stores[2].value.error?.message).toContain('asked to fail')
  expect(stores[0].value).toMatchObject({ id: jobs[0].id, text: jobs[0].text, place: null })
  const again = jobStore(sluice.attach(jobs[0].id!))
  again.subscribe(() => {})
  await until(() => again.value).toMatchObject({ state: 'done', text: jobs[0].text })
})

it('tells the state of the connection to whoever asks', async () => {
  open()
  const states: string[] = []
  const stop = sluice.subscribe(() => states.push(sluice.state))
  await until(() => states.at(-1)).toBe('open')
  net.cut()
  await until(() => states.slice(1)).toEqual(
    ['open', 'waiting', 'connecting', 'open'].slice(states[0] === 'open' ? 1 : 0),
  )
  stop()
  sluice.close()
  expect(states.at(-1)).toBe('open')
})
