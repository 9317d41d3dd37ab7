/** Processes of a fleet, each a real one: see member.ts. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { RedisAddress } from '../../src/engines/redis/client/connection.ts'
import type { Task } from './member.ts'

/** Modules that a process begins with. */
export const NEXT_VERSION = new URL('./next-version.ts', import.meta.url).href
export const CLONED = new URL('./cloned.ts', import.meta.url).href

export class Member {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  }

  /** Rejects with what keeps it from the fleet. */
  static async start(address: RedisAddress, ...imports: readonly string[]): Promise<Member> {
    const main = new URL('./member.ts', import.meta.url).pathname
    const args = [...imports.map((url) => `--import=${url}`), main, JSON.stringify(address)]
    const member = new Member(spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] }))
    await member.#read()
    return member
  }

  async do(task: Task): Promise<any> {
    this.#child.stdin!.write(`${JSON.stringify(task)}\n`)
    return this.#read()
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.stdin!.end()
    await gone
  }

  async #read(): Promise<any> {
    const { value } = await this.#lines.next()
    const told = JSON.parse(value ?? '{"failed":"it has ended"}')
    if (told.failed !== undefined) throw new Error(told.failed)
    return told
  }
}
