/**
 * Signals, from the process's first moment. Loaded before everything else: the first process of a container (PID 1)
 * does not even notice a signal that it has no handler for.
 */
import { isatty } from 'node:tty'

type Handler = (signal: NodeJS.Signals) => void

/** SIGUSR1 belongs to Node's debugger; SIGPIPE and SIGXFSZ are ignored by Node. */
const NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGUSR2: 12, SIGTERM: 15 } as const

/** Until there is something to finish: a server has stopped as requested, any other command was interrupted. */
let handler: Handler = (signal) => {
  const isServer = process.argv[2] === 'serve'
  if (isServer && (signal === 'SIGUSR2' || (signal === 'SIGHUP' && !hasLostTerminal()))) return
  process.exit(isServer ? 0 : 128 + NUMBERS[signal as keyof typeof NUMBERS])
}

for (const signal of Object.keys(NUMBERS)) process.on(signal as NodeJS.Signals, (each) => handler(each))

/** Hands all signals to `next` from now on. */
export function onSignal(next: Handler): void {
  handler = next
}

const terminals = [0, 1, 2].filter((fd) => isatty(fd))

/**
 * Is the terminal gone at which the process was started? Then SIGHUP has its original meaning: the line was hung up.
 */
export const hasLostTerminal = (): boolean => terminals.some((fd) => !isatty(fd))
