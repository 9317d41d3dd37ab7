/**
 * What addresses a receiver's name has. Whoever runs the name's zone decides how long its answer takes: it is asked
 * without a thread, and canceled with the try. The system's own lookup blocks one of the few threads of the process,
 * for which all other connections wait; it is for names of the settings alone, which may stand in a file of hosts.
 */
import { promises as dns } from 'node:dns'

export interface Asking {
  /** The operator has named it. */
  readonly isAllowed: boolean
  readonly timeoutMs: number
  /** The try has ended. */
  readonly signal: AbortSignal
}

/** None, or a rejection: it could not be resolved. */
export type Resolve = (host: string, asking: Asking) => Promise<readonly string[]>

const ASKED_TIMES = 2
/** With twice the wait for the second time, most of a try's time. */
const WAIT_SHARE = 1 / 4
const LOOKUPS_AT_ONCE = 2

/** `servers`: "127.0.0.1:53"; absent: those of the system. */
export function resolveBy(servers?: readonly string[]): Resolve {
  /** Each name once, however many wait for it. */
  const lookups = new Map<string, Promise<readonly string[]>>()
  const waiting: Array<() => void> = []
  let running = 0

  async function turn(): Promise<void> {
    if (running < LOOKUPS_AT_ONCE) running++
    else await new Promise<void>((go) => waiting.push(go))
  }
  function over(): void {
    const next = waiting.shift()
    if (next === undefined) running--
    else next()
  }
  async function lookUp(host: string): Promise<readonly string[]> {
    await turn()
    try {
      return (await dns.lookup(host, { all: true, verbatim: true })).map(({ address }) => address)
    } finally {
      lookups.delete(host)
      over()
    }
  }

  async function ask(host: string, { timeoutMs, signal }: Asking): Promise<readonly string[]> {
    const resolver = new dns.Resolver({ timeout: Math.ceil(timeoutMs * WAIT_SHARE), tries: ASKED_TIMES })
    if (servers !== undefined) resolver.setServers(servers)
    const cancel = (): void => resolver.cancel()
    signal.addEventListener('abort', cancel)
    try {
      // Of one that has no answer, the other's counts
      const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
      return answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }

  return (host, asking) => {
    if (!asking.isAllowed) return ask(host, asking)
    const known = lookups.get(host) ?? lookUp(host)
    lookups.set(host, known)
    return known
  }
}
