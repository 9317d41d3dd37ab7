/** A crowd of readers, each with a job and a WebSocket of its own, in a process of their own. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export interface Opened {
  readonly do: 'open'
  readonly readers: number
  readonly perSecond: number
  readonly key: string
  /** The body of each job. */
  readonly request: object
  readonly withinMs: number
}

export interface Cut {
  readonly do: 'cut'
  /** Of those whose gateway is this one; null: of all. */
  readonly port: number | null
  /** How many lose their connection by something else; null: all of them are cut here. */
  readonly expected: number | null
  readonly withinMs: number
}

export type Order =
  | Opened
  | Cut
  | { readonly do: 'ports'; readonly ports: readonly number[] }
  | { readonly do: 'jobs'; readonly port: number | null }
  | { readonly do: 'heads'; readonly heads: Readonly<Record<string, number>>; readonly withinMs: number }
  | { readonly do: 'end'; readonly withinMs: number }

export interface Told {
  /** Not caught up. */
  readonly missing: number
  /** Whose job has not ended. */
  readonly open: number
  /** What the missing ones lack. */
  readonly why: string
}

export interface Resumed {
  /** From the loss of a connection to its reader being caught up. */
  readonly resumedMs: readonly number[]
  /** Connections that were tried. */
  readonly attempts: number
  readonly missing: number
}

export interface Ended {
  readonly job: string | null
  readonly isOver: boolean
  /** Digest. */
  readonly text: string
  readonly faults: readonly string[]
  readonly retried: readonly string[]
}

export class Crowd {
  readonly #child: ChildProcess
  readonly #answers = new Map<number, { done(is: any): void; failed(error: Error): void }>()
  #n = 0

  constructor() {
    this.#child = fork(join(import.meta.dirname, 'crowd-child.ts'), [], { serialization: 'advanced' })
    this.#child.on('message', ({ n, is, error }: { n: number; is: unknown; error?: string }) => {
      const waiting = this.#answers.get(n)
      this.#answers.delete(n)
      if (error === undefined) waiting?.done(is)
      else waiting?.failed(new Error(error))
    })
    this.#child.once('exit', (code) => {
      for (const { failed } of this.#answers.values()) failed(new Error(`the crowd ended with ${code}`))
    })
  }

  /** The gateways at which readers open connections from now on. */
  ports(ports: readonly number[]): Promise<void> {
    return this.#ask({ do: 'ports', ports })
  }

  /** Resolves when all have text. */
  open(order: Omit<Opened, 'do'>): Promise<Told> {
    return this.#ask({ do: 'open', ...order })
  }

  /** Resolves when all are caught up again. */
  cut(order: Omit<Cut, 'do'>): Promise<Resumed> {
    return this.#ask({ do: 'cut', ...order })
  }

  /** Jobs that have not ended, of a gateway's readers. */
  jobs(port: number | null): Promise<readonly string[]> {
    return this.#ask({ do: 'jobs', port })
  }

  /** How long it takes until all have shown this much of their jobs, ms; -1: longer. */
  reach(heads: Readonly<Record<string, number>>, withinMs: number): Promise<number> {
    return this.#ask({ do: 'heads', heads, withinMs })
  }

  /** Resolves when all their jobs are over. */
  end(withinMs: number): Promise<readonly Ended[]> {
    return this.#ask({ do: 'end', withinMs })
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }

  #ask(order: Order): Promise<any> {
    const n = ++this.#n
    return new Promise((done, failed) => {
      this.#answers.set(n, { done, failed })
      this.#child.send({ ...order, n })
    })
  }
}
