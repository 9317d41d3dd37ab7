/**
 * Where the server has one core, V8's helper threads only compete with the thread that they help: while the heap was
 * marked, four of them left it a fifth of the core for 20 to 50 ms (docs/decisions/0042-what-an-accept-waits-for.md).
 */
import { availableParallelism } from 'node:os'
import { setFlagsFromString } from 'node:v8'

/** Those that V8 takes while it runs: with `--no-parallel-marking` it dies in its next major collection. */
const FLAGS = ['--no-parallel-scavenge', '--no-concurrent-marking']

export function collectAlone(): void {
  if (availableParallelism() === 1) for (const flag of FLAGS) setFlagsFromString(flag)
}
