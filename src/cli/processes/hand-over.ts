/**
 * How connections get from the parent to its children. Node's cluster hands each to one of them, in turn, and keeps its
 * own copy until that child replies; but where the child dies first, Node waits for the reply for ever, and the client
 * with it. Node has no public way to take such a connection back, so this looks at the messages of one major version
 * whose ways are known. On any other, all children accept from one shared socket, a public setting: then nothing is on
 * its way between processes, but the kernel may give one process more than another.
 */
import cluster, { type Worker } from 'node:cluster'
import type { Clock } from '../../core/clock.ts'

/** Majors of Node on which test/e2e/processes.test.ts was seen to pass, and, without `handOnWhenDead`, to fail. */
const KNOWN: ReadonlySet<string> = new Set(['24'])
/** What a child had replied before it died is read by then. */
const LAST_REPLIES_MS = 50
/** A child has one on its way for each listener. More are replies that were not recognised. */
const MOST_OWED = 16

/** Before the first child is started. Returns what the operator should know. */
export function chooseHandOver(version = process.versions.node): string | null {
  if (KNOWN.has(version.split('.')[0])) return null
  cluster.schedulingPolicy = cluster.SCHED_NONE
  return `Node ${version} is not known well enough to hand connections out in turn: processes take them as they come`
}

/** A child that dies before it replied counts as one that did not take the connection: Node hands it to another. */
export function handOnWhenDead(worker: Worker, clock: Clock, notAsKnown: () => void): void {
  if (cluster.schedulingPolicy !== cluster.SCHED_RR) return
  const child = worker.process
  const send = child.send.bind(child) as (message: unknown, ...more: unknown[]) => boolean
  const owed = new Set<unknown>()
  child.send = (message: unknown, ...more: unknown[]): boolean => {
    const { act, seq } = message as { readonly act?: unknown; readonly seq?: unknown }
    const isConnection = act === 'newconn' && typeof seq === 'number'
    if (isConnection) owed.add(seq)
    // A handle goes with nothing else
    const hasHandle = typeof more[0] === 'object' && more[0] !== null
    if (isConnection !== hasHandle || owed.size > MOST_OWED) {
      owed.clear()
      notAsKnown()
    }
    return send(message, ...more)
  }
  child.on('internalMessage', ({ ack }: { readonly ack?: unknown }) => owed.delete(ack))
  worker.once('exit', () =>
    clock.after(LAST_REPLIES_MS, () => {
      if (owed.size === 0) return
      // With a connection on its way, Node does not notice that it is disconnected
      child.emit('disconnect')
      for (const ack of owed) child.emit('internalMessage', { cmd: 'NODE_CLUSTER', ack, accepted: false })
    }),
  )
}
