/** Four loads for each dialect: two that every gateway can carry, and two that find out how much it carries. */
import type { Window } from '../tools.ts'

export type LoadName = 'calls' | 'calls-full' | 'streams' | 'streams-full'

export interface WorkLoad {
  readonly name: LoadName
  readonly mode: 'sse' | 'http'
  /** The upstream's script. */
  readonly script: string
  readonly connections: number
  /** Requests a second; absent: as many as are answered. */
  readonly rate?: number
  /** `s`: how long it is measured. */
  windowOf(s: number): Window
}

/** A stream lasts as long as its tokens: one that began before the window counts in it. */
export const LOADS: readonly WorkLoad[] = [
  {
    name: 'calls-full',
    mode: 'http',
    script: 'mock-n10',
    connections: 32,
    // Until V8 has compiled what a call runs through
    windowOf: (s) => ({ ramp: 0.1, warm: s * 1.5, measured: s }),
  },
  {
    name: 'calls',
    mode: 'http',
    script: 'mock-n10',
    connections: 16,
    rate: 50,
    windowOf: (s) => ({ ramp: 0.1, warm: 0.5, measured: s }),
  },
  {
    name: 'streams-full',
    mode: 'sse',
    script: 'mock-n100',
    connections: 32,
    windowOf: (s) => ({ ramp: 0.1, warm: s * 0.5, measured: s }),
  },
  {
    name: 'streams',
    mode: 'sse',
    script: 'mock-n50-d20-f50',
    connections: 16,
    windowOf: (s) => ({ ramp: 1, warm: 0.5, measured: s }),
  },
]

/** With the last answers, s. */
export function loadS({ name, windowOf }: WorkLoad, s: number): number {
  const { ramp, warm, measured } = windowOf(s)
  return ramp + warm + measured + (name === 'streams' ? 1.2 : 0.3)
}
