/**
 * A client as it should be: retries what was not acknowledged, resumes after the last event it applied, and gives up a
 * connection on which nothing comes.
 */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { Seen } from './history.ts'

/** A server that says nothing for so long, not even a heartbeat, is taken for dead. */
const PATIENCE_MS = 60_000

export class Http {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Infinity })
  readonly #url: () => string
  readonly #key: string
  readonly #patienceMs: number

  /** `url`: a function is asked at each request. */
  constructor(url: string | (() => string), key: string, patienceMs = PATIENCE_MS) {
    this.#url = typeof url === 'string' ? () => url : url
    this.#key = key
    this.#patienceMs = patienceMs
  }

  /** Rejects when the connection breaks before the answer is whole. */
  call(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; json: any; headers: Record<string, unknown> }> {
    return new Promise((resolve, reject) => {
      const sent = this.#request(method, path, headers, this.#agent, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (part: string) => (text += part))
        response.on('end', () => {
          try {
            resolve({
              status: response.statusCode!,
              json: text === '' ? null : JSON.parse(text),
              headers: response.headers,
            })
          } catch (error) {
            reject(error)
          }
        })
        response.on('error', reject)
      })
      sent.on('error', reject)
      sent.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  #request(
    method: string,
    path: string,
    headers: Record<string, string>,
    agent: Agent | false,
    on: Parameters<typeof request>[2],
  ): ClientRequest {
    const sent = request(
      `${this.#url()}${path}`,
      {
        method,
        agent,
        headers: { authorization: `Bearer ${this.#key}`, 'content-type': 'application/json', ...headers },
      },
      on,
    )
    return sent.setTimeout(this.#patienceMs, () => sent.destroy(new Error('silent for too long')))
  }

  /**
   * Reads events, telling each as it is whole, until the stream ends or breaks. `cutAfterBytes`: destroys the
   * connection by itself. Resolves with the status, whether the server ended it, and the error that it answered with
   * instead of a stream.
   */
  events(
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string>,
    on: (event: Seen) => void,
    cutAfterBytes = Infinity,
  ): Promise<EventsEnd> {
    return new Promise((resolve) => {
      let bytes = 0
      let rest = ''
      let answer: IncomingMessage | null = null
      const done = (ended: boolean): void => {
        const status = answer?.statusCode ?? 0
        resolve({ status, ended, headers: answer?.headers ?? {}, code: status >= 400 ? codeOf(rest) : null })
      }
      const sent = this.#request(method, path, headers, false, (response) => {
        answer = response
        response.setEncoding('latin1')
        response.on('data', (part: string) => {
          const room = cutAfterBytes - bytes
          bytes += part.length
          rest += part.slice(0, Math.max(0, room))
          for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
            const block = rest.slice(0, end).replace(/^(?::[^\n]*\n)+/, '')
            rest = rest.slice(end + 2)
            const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? ''
            if (response.statusCode === 200)
              on({ id: field('id'), event: field('event'), data: field('data'), atMs: performance.now() })
          }
          if (bytes >= cutAfterBytes) {
            sent.destroy()
            done(false)
          }
        })
        response.on('end', () => done(true))
        response.on('error', () => done(false))
        response.on('close', () => done(false))
      })
      sent.on('error', () => done(false))
      sent.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

export interface EventsEnd {
  /** 0: no answer. */
  readonly status: number
  readonly ended: boolean
  readonly headers: Record<string, unknown>
  readonly code: string | null
}

function codeOf(body: string): string {
  try {
    return String((JSON.parse(body) as { error: { code: unknown } }).error.code)
  } catch {
    return 'not an error of ours'
  }
}
