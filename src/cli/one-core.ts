/**
 * Where the server has one core, V8's helper threads only compete with the thread that they help: four of them, busy
 * compiling and marking, left it a fifth of the core for tens of ms at a time (docs/decisions/0042-what-an-accept-waits-for.md).
 */
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism, constants, getPriority, setPriority } from 'node:os'
import { setFlagsFromString } from 'node:v8'

const THREADS = '/proc/self/task'
const HELPER = 'V8Worker'
/** Added to the server's own niceness: a helper then counts a tenth of another thread. */
const HELPER_NICE = 10

export function yieldToMainThread(): void {
  if (availableParallelism() > 1) return
  setFlagsFromString('--no-parallel-scavenge')
  try {
    const nice = Math.min(constants.priority.PRIORITY_LOW, getPriority() + HELPER_NICE)
    for (const thread of readdirSync(THREADS))
      if (readFileSync(`${THREADS}/${thread}/comm`, 'latin1').trim() === HELPER) setPriority(Number(thread), nice)
  } catch {
    // Not Linux, or not permitted: then they compete
  }
}
