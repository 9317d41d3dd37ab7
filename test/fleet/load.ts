/**
 * Clients of each kind, and another program that publishes to the broker: each asks for one answer after the other, and
 * notes as a fault whatever is refused, cut off for good, or not exactly its job's text.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI from 'openai'
import { connect, type Sluice } from '../../client/src/index.ts'
import { speak } from '../../src/routing/providers/demo/answer.ts'
import { readScript } from '../../src/routing/providers/demo/script.ts'
import { Http } from '../chaos/client.ts'
import type { Seen } from '../chaos/history.ts'
import type { Broker } from './broker.ts'
import { KEY } from './member.ts'

export interface LoadOptions {
  /** At once, of all kinds together. */
  readonly streams: number
  readonly tokens: number
  readonly tokenMs: number
  /** Only clients that ask again. */
  readonly isPatient?: boolean
}

/** Those of `fetch` ask once, and repeat only what PROTOCOL.md tells every reader to: a stream or a wait, cut. */
const KINDS = [
  'SDK, stream',
  'SDK, JSON',
  'client, WebSocket',
  'client, SSE',
  'fetch, JSON',
  'fetch, job',
  'fetch, keyed job',
] as const
type Kind = (typeof KINDS)[number] | 'published'

const PAUSE_MS = 1_000
const CLIENTS = 10
/** Of the program that publishes. */
const LANES = 5
const PUBLISH_EVERY_MS = 300
/** For what is published to be done. */
const DONE_MS = 60_000
const WAIT_MS = 30_000
const AGAIN_MS = 100
const PAGE = 1_000

type Request = { readonly model: string; readonly messages: ReadonlyArray<{ role: 'user'; content: string }> }

export class Load {
  readonly served: Record<Kind, number>
  readonly faults: string[] = []
  readonly #url: string
  readonly #kinds: ReadonlyArray<(typeof KINDS)[number]>
  readonly #http: Http
  readonly #openai: OpenAI
  readonly #clients: Readonly<Record<'websocket' | 'sse', readonly Sluice[]>>
  readonly #directives: string
  readonly #broker: Broker | null
  #loops: Array<Promise<void>> = []
  #published: string[] = []
  #n = 0
  #isStopping = false

  constructor(url: string, { tokens, tokenMs, isPatient = false }: LoadOptions, broker: Broker | null) {
    this.#url = url
    this.#kinds = isPatient ? KINDS.filter((kind) => !kind.startsWith('fetch')) : KINDS
    this.#broker = broker
    this.#http = new Http(url, KEY)
    this.#openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: KEY })
    const clients = (transport: 'websocket' | 'sse') =>
      Array.from({ length: CLIENTS }, () => connect({ url, key: KEY, transport }))
    this.#clients = { websocket: clients('websocket'), sse: clients('sse') }
    this.#directives = `demo: tokens=${tokens} delay=${tokenMs}`
    this.served = {
      ...(Object.fromEntries(this.#kinds.map((kind) => [kind, 0])) as Record<Kind, number>),
      published: 0,
    }
  }

  start(streams: number): void {
    this.#loops = Array.from({ length: streams }, (_, i) => this.#loop(this.#kinds[i % this.#kinds.length], i))
    if (this.#broker !== null) this.#loops.push(this.#publish(this.#broker))
  }

  /** Each kind of client has served something from now on. */
  async moves(): Promise<void> {
    const before = { ...this.served }
    while (this.#kinds.some((kind) => this.served[kind] === before[kind])) {
      if (this.faults.length > 0) return
      await sleep(AGAIN_MS)
    }
  }

  /** Resolves when all that is under way has its answer, and what is stored was looked at. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await Promise.all(this.#loops)
    await this.#lookAtPublished()
    await this.#lookAtAll()
  }

  close(): void {
    this.#isStopping = true
    this.#http.close()
    for (const client of [...this.#clients.websocket, ...this.#clients.sse]) client.close()
  }

  async #loop(kind: (typeof KINDS)[number], i: number): Promise<void> {
    while (!this.#isStopping) {
      const request = this.#next()
      try {
        this.#compare(kind, request, await this.#ask(kind, i, request))
      } catch (error) {
        this.faults.push(`${kind}: ${error instanceof Error ? error.stack : error}`)
        await sleep(PAUSE_MS)
      }
    }
  }

  #next(): Request {
    return { model: 'demo', messages: [{ role: 'user', content: `Story ${++this.#n}. ${this.#directives}` }] }
  }

  #compare(kind: Kind, request: Request, text: string | null): void {
    const right = answerTo(request)
    if (text !== right) this.faults.push(`${kind}: "${text}" instead of "${right}"`)
    else this.served[kind]++
  }

  async #ask(kind: (typeof KINDS)[number], i: number, request: Request): Promise<string | null> {
    const messages = [...request.messages]
    switch (kind) {
      case 'SDK, JSON':
        return (await this.#openai.chat.completions.create({ ...request, messages })).choices[0].message.content
      case 'SDK, stream': {
        let text = ''
        const stream = await this.#openai.chat.completions.create({ ...request, messages, stream: true })
        for await (const { choices } of stream) text += choices[0]?.delta.content ?? ''
        return text
      }
      case 'fetch, JSON':
        return textOf(await this.#fetch('/v1/chat/completions', request, 200))
      case 'fetch, job':
        return this.#result((await this.#fetch('/v1/jobs', { request }, 202)).id)
      case 'fetch, keyed job': {
        const body = { request, idempotency_key: `story ${request.messages[0].content}` }
        return this.#events((await this.#fetch('/v1/jobs', body, 202)).id)
      }
      default: {
        const clients = this.#clients[kind === 'client, SSE' ? 'sse' : 'websocket']
        const submit = { request: { ...request, messages, stream: true } }
        return (await clients[i % clients.length].submit(submit).answer()).text
      }
    }
  }

  /** Once. */
  async #fetch(path: string, body: object, status: number): Promise<any> {
    const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
    const response = await fetch(`${this.#url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
    if (response.status === status) return response.json()
    throw new Error(`POST ${path}: ${response.status} ${await response.text()}`)
  }

  /** By long polls. */
  async #result(id: string): Promise<string> {
    for (;;) {
      const { status, json } = await this.#http.call('GET', `/v1/jobs/${id}/result?wait_ms=${WAIT_MS}`)
      if (status === 200) return textOf(json)
      if (status !== 202) throw new Error(`GET of the result of ${id}: ${status} ${JSON.stringify(json)}`)
    }
  }

  /** As a stream, resumed where the server ends it. */
  async #events(id: string): Promise<string> {
    const seen: Seen[] = []
    const on = (event: Seen): void => void seen.push(event)
    while (seen.at(-1)?.event !== 'end') {
      const last = seen.at(-1)
      const headers: Record<string, string> = last === undefined ? {} : { 'last-event-id': last.id }
      const { status, code } = await this.#http.events('GET', `/v1/jobs/${id}/events`, undefined, headers, on)
      if (status !== 200) throw new Error(`GET of the events of ${id}: ${status} ${code}`)
      await sleep(AGAIN_MS)
    }
    for (const [i, { id: cursor }] of seen.entries())
      if (Number(cursor.split('-')[1]) !== i + 1) throw new Error(`event ${i + 1} of ${id} is ${cursor}`)
    const chunks = seen
      .filter(({ event }) => event === 'chunk')
      .map(({ data }) => JSON.parse(Buffer.from(data, 'latin1').toString()))
    return chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')
  }

  // ------------------------------------------------------------ another program

  async #publish(broker: Broker): Promise<void> {
    while (!this.#isStopping) {
      const lane = `lane ${this.#published.length % LANES}`
      const request = this.#next()
      const { content } = request.messages[0]
      const short = { ...request, messages: [{ role: 'user', content: content.replace(/tokens=\d+/, 'tokens=3') }] }
      try {
        const n = this.#published.length
        await broker.publish({ id: `other ${n}`, lane, metadata: { n: String(n) }, request: short } as { lane: string })
        this.#published.push(short.messages[0].content)
      } catch (error) {
        this.faults.push(`published: ${error}`)
      }
      await sleep(PUBLISH_EVERY_MS)
    }
  }

  async #jobs(): Promise<readonly any[]> {
    const all: any[] = []
    for (let before = ''; ; ) {
      const { status, json } = await this.#http.call('GET', `/v1/jobs?limit=${PAGE}${before}`)
      if (status !== 200) throw new Error(`GET /v1/jobs: ${status}`)
      all.push(...json.data)
      if (!json.has_more) return all
      before = `&before=${all.at(-1).id}`
    }
  }

  /** Each is one job, done, in the order of its lane. */
  async #lookAtPublished(): Promise<void> {
    const giveUpMono = performance.now() + DONE_MS
    const count = this.#published.length
    let mine: readonly any[] = []
    const isDone = (): boolean => mine.filter(({ state }) => state === 'done').length >= count
    do {
      mine = (await this.#jobs()).filter(({ metadata }) => metadata.n !== undefined)
    } while (!isDone() && performance.now() < giveUpMono && (await sleep(PAUSE_MS, true)))
    const seen = new Set(mine.map(({ metadata }) => metadata.n))
    if (mine.length !== count || seen.size !== count)
      this.faults.push(`published: ${count} messages became ${mine.length} jobs, ${seen.size} of them different`)
    for (const [lane, jobs] of Map.groupBy(mine, (job) => job.lane)) {
      const places = jobs.map(({ metadata }) => Number(metadata.n))
      if (places.some((n, i) => i > 0 && n > places[i - 1]))
        this.faults.push(`published: ${lane} was taken as ${places}`)
    }
    for (const { id, metadata } of mine) {
      const content = this.#published[Number(metadata.n)]
      this.#compare('published', { model: 'demo', messages: [{ role: 'user', content }] }, await this.#result(id))
    }
  }

  /** There is one job for each answer. */
  async #lookAtAll(): Promise<void> {
    const served = Object.values(this.served).reduce((sum, n) => sum + n, 0)
    const stored = (await this.#jobs()).length
    if (this.faults.length === 0 && stored !== served) this.faults.push(`${served} answers, and ${stored} jobs`)
  }
}

const textOf = (answer: any): string => answer.choices[0].message.content

/** What the demo model answers to it, whoever carries that. */
function answerTo(request: Request): string {
  const script = readScript('demo', request.messages[0].content, 1, { delayMs: 0, ttftMs: 0 })
  return speak(request as never, 0, script).tokens.join('')
}
