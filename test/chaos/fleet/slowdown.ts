/**
 * How much longer than alone a process takes here for the same work: a control beside what is measured, in the same
 * run. It works for 10 ms of CPU time ten times a second, in a process of its own, and tells how long each took.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

export interface Worked {
  /** When it was over, by the clock that `performance.timeOrigin` counts from. */
  readonly atMs: number
  readonly tookMs: number
  readonly cpuMs: number
}

export class Slowdown {
  readonly #child: ChildProcess
  readonly #worked: Worked[] = []

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (worked) => this.#worked.push(worked as Worked))
  }

  static async start(): Promise<Slowdown> {
    const child = fork(new URL('./slowdown-child.ts', import.meta.url))
    await once(child, 'message')
    return new Slowdown(child)
  }

  /** In a time of this process; at least 1. */
  between(fromMs: number, toMs: number): number {
    return slowdownOf(
      this.#worked.filter(({ atMs }) => {
        const at = atMs - performance.timeOrigin
        return at >= fromMs && at <= toMs
      }),
    )
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }
}

export function slowdownOf(worked: readonly Worked[]): number {
  const took = worked.reduce((sum, { tookMs }) => sum + tookMs, 0)
  const cpu = worked.reduce((sum, { cpuMs }) => sum + cpuMs, 0)
  return cpu === 0 ? 1 : Math.max(1, took / cpu)
}
