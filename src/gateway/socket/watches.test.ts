import { expect, it } from 'vitest'
import type { ServerFrame } from '../../core/frames.ts'
import type { ConversationNews } from '../../core/ports.ts'
import type { Caller } from '../caller.ts'
import type { GatewayDeps } from '../deps.ts'
import { Watches } from './watches.ts'

const STANDING = { type: 'standing', info: null, lastTurn: null, jobs: [], more: false } as const

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
  const watcher = { full: false, send: (frame: ServerFrame) => void sent.push(frame) }
  const clock = { soon: (fn: () => void) => void setImmediate(fn) }
  const deps = { conversations, clock, queue: {}, options: { socket: { maxJobs } } } as unknown as GatewayDeps
  const caller = { key: { tenant: 'acme' }, session: null } as Caller
  const all = new Watches(deps, caller, watcher)
  const told = (): string[] => sent.splice(0).map((f) => `${f.t} ${'conversation' in f ? f.conversation : ''}`)
  return { all, watcher, listeners, told }
}
/** All that was asked for has had its turn. */
const turns = (): Promise<void> => new Promise((done) => setTimeout(done, 30))

it('leaves out what a peer that does not read would get, and tells once how it stands when it reads', async () => {
  const { all, watcher, listeners, told } = watches()
  await all.watch('a', 'w')
  await all.watch('b', undefined)
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
  await Promise.all(['a', 'a', 'b'].map((name) => all.watch(name, undefined)))
  expect([...listeners.keys()]).toEqual(['a', 'b'])
  await expect(all.watch('c', undefined)).rejects.toThrow('A connection watches at most 2 conversations')
  await all.watch('a', undefined) // one that it watches already is no other
  all.unwatch('a')
  await all.watch('c', undefined)
  expect([...listeners.keys()]).toEqual(['b', 'c'])
  // What was given up, or closed, before its turn is not begun
  void all.watch('b', undefined)
  all.unwatch('b')
  await turns()
  expect([...listeners.keys()]).toEqual(['c'])
  void all.watch('b', undefined)
  all.close()
  await turns()
  expect(listeners.size).toBe(0)
})

it('tells each in a turn of the loop of its own', async () => {
  const { all, told } = watches()
  const asked = ['a', 'b', 'c'].map((name) => all.watch(name, undefined))
  expect(told()).toEqual([])
  const turn = (): Promise<string[]> => new Promise((done) => setImmediate(() => setImmediate(() => done(told()))))
  expect((await turn()).length).toBeLessThan(3)
  await Promise.all(asked)
  expect(told().at(-1)).toBe('watching c')
})
