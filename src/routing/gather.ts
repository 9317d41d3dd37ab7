/**
 * How upstream sockets are read (decision 0008). At low load nothing is held back. Where tokens come from several
 * streams, all of those are read at once, a few times as often as tokens come: each turn of the event loop that serves
 * one token alone costs more than the token. When the loop is busy with many, each socket is left unread for longer, so
 * that one read brings several tokens.
 */
import type { Clock } from '../core/clock.ts'
import { gauge, type NumberSource } from '../core/numbers.ts'
import type { Gathering } from '../core/ports/provider.ts'

/**
 * Share of a core that the event loop's thread takes when it is busy, and below which it is no longer: to gather lowers
 * it. Not the loop's utilization: libuv counts the time before a token for a socket left unread as work.
 */
const BUSY = 0.2
const CALM = 0.1
const SAMPLE_MS = 200
/** Reads in one sample from which on sockets are left unread, and below which they are no longer; */
const MANY = 30
const FEW = 15
/** that is, while each is read a quarter as often. */
const FEW_APART = 4
const TOGETHER: Gathering = { ms: 15, together: true }

export interface GatherOptions {
  readonly gather: 'auto' | 'on' | 'off'
  readonly gatherMs: number
}

export interface GatherGauge extends NumberSource {
  /** Asked after each read of an answer that trickles. */
  readonly gathering: () => Gathering | null
  stop(): void
}

export function gatherGauge({ gather, gatherMs }: GatherOptions, clock: Clock): GatherGauge {
  const apart: Gathering = { ms: gatherMs, together: false }
  let now = gather === 'on' ? apart : null
  let reads = 0
  const share = coreShare(clock)
  function sample(): void {
    const isBusy = share() > (now === apart ? CALM : BUSY)
    const isMany = reads >= (now === null ? MANY : now === apart ? FEW_APART : FEW)
    now = isMany ? (isBusy ? apart : TOGETHER) : null
    reads = 0
  }
  return {
    gathering: () => {
      reads++
      return now
    },
    stop: gather === 'auto' ? clock.every(SAMPLE_MS, sample) : () => {},
    metrics: [gauge('gather_ms', 'How long upstreams are left unread between two reads', () => now?.ms ?? 0, 'max')],
  }
}

/** What share of a core this thread took since the last call. */
function coreShare(clock: Clock): () => number {
  let lastMono = clock.monoMs()
  let last = process.threadCpuUsage()
  return () => {
    const [nowMono, cpu] = [clock.monoMs(), process.threadCpuUsage()]
    const usedMs = (cpu.user - last.user + cpu.system - last.system) / 1000
    const share = usedMs / (nowMono - lastMono)
    lastMono = nowMono
    last = cpu
    return share
  }
}
