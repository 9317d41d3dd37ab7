import { expect, it } from 'vitest'
import type { ServerFrame } from '../../core/frames.ts'
import type { ConversationNews } from '../../core/ports/conversations.ts'
import type { Caller } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'
import { Watches } from './watches.ts'

const STANDING = { type: 'standing', info: null, lastTurn: null, jobs: [], places: new Map(), more: false } as const

function watches(maxJobs = 10) {
  const listeners = new Map<string, (news: ConversationNews) => void>()
  const conversations = {
    watch(_tenant: string, id: string, listener: (news: ConversationNews) => void) {
      listener(STANDING)
      listeners.set(id, listener)
      return () => void (listeners.get(id) === listener && listeners.delete(id))
    },
  }
  const sent: ServerFrame[] = []
  const write = (frame: string): void => void sent.push(JSON.parse(frame.slice(frame.indexOf('{'))) as ServerFrame)
  const watcher = { full: false, write }
  const clock = { soon: (fn: () => void) => void setImmediate(fn) }
  const deps = { conversations, clock, queue: {}, options: { socket: { maxJobs } } } as unknown as GatewayDeps
  const caller = { key: { tenant: 'acme' }, session: null } as Caller
  const all = new Watches(deps, caller, watcher)
  const told = (): string[] => sent.splice(0).map((f) => `${f.t} ${'conversation' in f ? f.conversation : ''}`)
  return { all, watcher, listeners, told }
}
/** All that was asked for has had its turn. */
const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((next) => setImmediate(next))
}

it('leaves out what a peer that does not read would get, and tells once how it stands when it reads', async () => {
  const { all, watcher, listeners, told } = watches()
  all.watch('a', 'w')
  all.watch('b', undefined)
  await turns()
  expect(told()).toEqual(['watching a', 'watching b'])
  watcher.full = true
  for (let i = 0; i < 1_000; i++) listeners.get('a')!({ type: 'truncated' })
  expect(told()).toEqual([])
  all.resume()
  expect(told()).toEqual([]) // still full
  watcher.full = false
  listeners.get('a')!({ type: 'truncated' }) // a change is told by what comes next
  listeners.get('b')!({ type: 'truncated' })
  all.resume()
  await turns()
  expect(told()).toEqual(['news b', 'watching a'])
  all.resume()
  await turns()
  expect(told()).toEqual([])
  listeners.get('a')!({ type: 'deleted' })
  expect(told()).toEqual(['news a'])
})

it('holds one listener for each conversation, at most so many, and none when it is closed', async () => {
  const { all, listeners } = watches(2)
  for (const name of ['a', 'a', 'b']) all.watch(name, undefined)
  await turns()
  expect([...listeners.keys()]).toEqual(['a', 'b'])
  expect(() => all.watch('c', undefined)).toThrow('A connection can watch at most 2 conversations')
  all.watch('a', undefined) // one that it watches already is no other
  all.unwatch('a')
  all.watch('c', undefined)
  await turns()
  expect([...listeners.keys()]).toEqual(['b', 'c'])
  // What was given up, or closed, before its turn is not begun
  all.watch('b', undefined)
  all.unwatch('b')
  await turns()
  expect([...listeners.keys()]).toEqual(['c'])
  all.watch('b', undefined)
  all.close()
  await turns()
  expect(listeners.size).toBe(0)
})

it('tells each in a turn of the loop of its own', async () => {
  const { all, told } = watches()
  for (const name of ['a', 'b', 'c']) all.watch(name, undefined)
  expect(told()).toEqual([])
  const turn = (): Promise<string[]> => new Promise((done) => setImmediate(() => setImmediate(() => done(told()))))
  expect((await turn()).length).toBeLessThan(3)
  await turns()
  expect(told().at(-1)).toBe('watching c')
})

it('what is asked again before it was told is told once, and nothing to a peer that does not read', async () => {
  const { all, watcher, listeners, told } = watches(2)
  for (let i = 0; i < 5_000; i++) all.watch('a', String(i))
  await turns()
  expect(told()).toEqual(['watching a'])
  watcher.full = true
  for (let i = 0; i < 5_000; i++) all.watch(i % 2 === 0 ? 'a' : 'b', String(i))
  await turns()
  expect([told(), [...listeners.keys()]]).toEqual([[], ['a']])
  expect(() => all.watch('c', undefined)).toThrow('at most 2')
  watcher.full = false
  all.resume()
  await turns()
  expect(told()).toEqual(['watching a', 'watching b'])
})
