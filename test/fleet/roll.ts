/**
 * A rolling restart under load: two gateways behind nginx, two workers, and clients of each kind that never stop. Each
 * process is stopped as an operator stops it, and started again, perhaps with another version of the program. No
 * request may fail, and each answer must be exactly its job's.
 */
import OpenAI from 'openai'
import { connect, type Sluice } from '../../client/src/index.ts'
import { speak } from '../../src/routing/providers/demo/answer.ts'
import { readScript } from '../../src/routing/providers/demo/script.ts'
import { FrontProxy } from '../deploy/proxy.ts'
import { freePort } from '../free-port.ts'
import { RedisServer } from '../redis/server.ts'
import { KEY, Member, type Role } from './member.ts'

export interface RollOptions {
  /** At once, of all kinds together. */
  readonly streams: number
  readonly tokens: number
  readonly tokenMs: number
  /** To the next version of the program: test/redis/next-version.ts. */
  readonly toNext: boolean
  readonly log: (line: string) => void
}

export interface RollReport {
  readonly served: Readonly<Record<Kind, number>>
  readonly faults: readonly string[]
  /** Of each stop, ms. */
  readonly stopsMs: readonly number[]
}

const KINDS = ['SDK, stream', 'SDK, JSON', 'client, WebSocket', 'client, SSE'] as const
type Kind = (typeof KINDS)[number]

/** Longer than any answer of the load: what runs may finish. */
const DRAIN_MS = 30_000
/** After each start: a balancer takes a while to notice. */
const SETTLE_MS = 3_000
const PAUSE_MS = 1_000
const CLIENTS = 10
const ROLES: readonly Role[] = ['gateway', 'gateway', 'worker', 'worker']

/** Which process is started again, and whether with the next version. */
type Step = readonly [member: number, isNext: boolean]
const SAME: readonly Step[] = [0, 1, 2, 3].map((i) => [i, false])
/** The first one goes back once: that holds until the last of the old version is gone. */
const NEXT: readonly Step[] = [
  [0, true],
  [0, false],
  [2, true],
  [0, true],
  [1, true],
  [3, true],
]

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

export async function runRoll(options: RollOptions): Promise<RollReport> {
  const { streams, toNext, log } = options
  const redis = await RedisServer.start({ appendfsync: 'everysec' })
  const settings = {
    durability: 'process',
    workers: { drain_ms: DRAIN_MS },
    models: [{ name: 'demo', provider: 'demo' }],
  }
  const members: Member[] = []
  let front: FrontProxy | null = null
  let load: Load | null = null
  try {
    const ports = [await freePort(), await freePort()]
    const start = (i: number, isNext: boolean): Promise<Member> =>
      Member.start({
        role: ROLES[i],
        redis: redis.url,
        settings,
        ...(i < ports.length && { port: ports[i] }),
        isNext,
      })
    for (let i = 0; i < ROLES.length; i++) members.push(await start(i, false))
    front = await FrontProxy.start('nginx', ports)
    load = new Load(front.url, options)
    load.start(streams)
    await load.moves()
    const stopsMs: number[] = []
    for (const [i, isNext] of toNext ? NEXT : SAME) {
      const startedMono = performance.now()
      const code = await members[i].stop()
      stopsMs.push(performance.now() - startedMono)
      if (code !== 0) load.faults.push(`a ${ROLES[i]} stopped with ${code}:\n${members[i].output()}`)
      members[i] = await start(i, isNext)
      await sleep(SETTLE_MS)
      log(
        `${ROLES[i]} ${(i % 2) + 1}: stopped in ${stopsMs.at(-1)!.toFixed(0)} ms, ` +
          `started${isNext ? ' as the next version' : ''}; ` +
          `${load.faults.length} faults, served ${JSON.stringify(load.served)}`,
      )
    }
    await load.moves()
    await load.stop()
    if (load.faults.length > 0) load.faults.push(`nginx noted:\n${front.errors()}`)
    return { served: load.served, faults: load.faults, stopsMs }
  } finally {
    load?.close()
    await front?.close()
    await Promise.all(members.map((member) => member.kill()))
    await redis.remove()
  }
}

/** Asks for one answer after the other, as many at once as it is told to. */
class Load {
  readonly served: Record<Kind, number> = { 'SDK, stream': 0, 'SDK, JSON': 0, 'client, WebSocket': 0, 'client, SSE': 0 }
  readonly faults: string[] = []
  readonly #openai: OpenAI
  readonly #clients: Readonly<Record<'websocket' | 'sse', readonly Sluice[]>>
  readonly #directives: string
  #loops: Array<Promise<void>> = []
  #n = 0
  #isStopping = false

  constructor(url: string, { tokens, tokenMs }: RollOptions) {
    this.#openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: KEY })
    const clients = (transport: 'websocket' | 'sse') =>
      Array.from({ length: CLIENTS }, () => connect({ url, key: KEY, transport }))
    this.#clients = { websocket: clients('websocket'), sse: clients('sse') }
    this.#directives = `demo: tokens=${tokens} delay=${tokenMs}`
  }

  start(streams: number): void {
    this.#loops = Array.from({ length: streams }, (_, i) => this.#loop(KINDS[i % KINDS.length], i))
  }

  /** Each kind has served something from now on. */
  async moves(): Promise<void> {
    const before = { ...this.served }
    while (KINDS.some((kind) => this.served[kind] === before[kind])) {
      if (this.faults.length > 0) return
      await sleep(100)
    }
  }

  /** Resolves when all that is under way has its answer. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await Promise.all(this.#loops)
  }

  close(): void {
    this.#isStopping = true
    for (const client of [...this.#clients.websocket, ...this.#clients.sse]) client.close()
  }

  async #loop(kind: Kind, i: number): Promise<void> {
    while (!this.#isStopping) {
      const content = `Story ${++this.#n}. ${this.#directives}`
      try {
        const text = await this.#ask(kind, i, content)
        if (this.#isStopping && text === null) return
        const right = answerTo(content)
        if (text !== right) this.faults.push(`${kind}: "${text}" instead of "${right}"`)
        else this.served[kind]++
      } catch (error) {
        if (this.#isStopping && String(error).includes('closed')) return
        this.faults.push(`${kind}: ${error instanceof Error ? error.stack : error}`)
        await sleep(PAUSE_MS)
      }
    }
  }

  async #ask(kind: Kind, i: number, content: string): Promise<string | null> {
    const request = { model: 'demo', messages: [{ role: 'user' as const, content }] }
    switch (kind) {
      case 'SDK, JSON':
        return (await this.#openai.chat.completions.create(request)).choices[0].message.content
      case 'SDK, stream': {
        let text = ''
        for await (const { choices } of await this.#openai.chat.completions.create({ ...request, stream: true }))
          text += choices[0]?.delta.content ?? ''
        return text
      }
      default: {
        const clients = this.#clients[kind === 'client, SSE' ? 'sse' : 'websocket']
        return (await clients[i % clients.length].submit({ request: { ...request, stream: true } }).answer()).text
      }
    }
  }
}

/** What the demo model answers to it, whoever carries that. */
function answerTo(content: string): string {
  const request = { model: 'demo', messages: [{ role: 'user', content }] }
  const script = readScript('demo', content, 1, { delayMs: 0, ttftMs: 0 })
  return speak(request, 0, script).tokens.join('')
}
