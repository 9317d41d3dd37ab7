/**
 * How the processes of a measurement of jobs are told what to do, over IPC: first a Task, answered with 'ready'; then a
 * Go, answered by how many jobs were submitted, or have ended since the last time.
 */
export interface Task {
  readonly role: 'submit' | 'work'
  readonly port: number
  readonly fsync: 'everysec' | 'always'
  /** Jobs at once; of a worker. */
  readonly slots: number
  /** Bytes of a request. */
  readonly bytes: number
}

export interface Go {
  readonly jobs: number
  /** So many are submitted and not yet accepted. */
  readonly inFlight: number
  /** So many in each call. */
  readonly block: number
}

/** How often a worker tells how many have ended, ms. */
export const TELL_MS = 5

/** Runs a child: `open` gives what submits a block, or works from then on, telling each end. */
export function serve(
  open: (task: Task, ended: () => void) => Promise<(count: number, from: number) => Promise<void>>,
): void {
  let ended = 0
  let submit: ((count: number, from: number) => Promise<void>) | null = null
  process.on('message', (message: Task | Go) => {
    if ('role' in message) void open(message, () => ended++).then(begin(message))
    else void submitAll(message)
  })
  const begin = (task: Task) => (opened: typeof submit) => {
    submit = opened
    process.send!('ready')
    if (task.role === 'work')
      setInterval(() => {
        if (ended > 0) process.send!(ended)
        ended = 0
      }, TELL_MS)
  }
  const submitAll = async ({ jobs, inFlight, block }: Go): Promise<void> => {
    let next = 0
    const one = async (): Promise<void> => {
      while (next < jobs) {
        const from = next
        next += block
        await submit!(Math.min(block, jobs - from), from)
      }
    }
    await Promise.all(Array.from({ length: inFlight / block }, one))
    process.send!(jobs)
  }
}

/** Request of a job, of so many bytes. */
export const requestOf = (n: number, bytes: number): string => {
  const text = `{"model":"m","messages":[{"role":"user","content":"${n} `
  return `${text.padEnd(bytes - 4, 'x')}"}]}`
}
