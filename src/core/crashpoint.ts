/**
 * Named places where a test may have the process die as by kill -9. Unarmed, as everywhere but in test/chaos, a call
 * costs one comparison.
 */
export type CrashPoint =
  | 'before-commit'
  | 'after-commit'
  | 'after-sync'
  | 'after-lease'
  | 'mid-stream'
  | 'before-finish'
  | 'after-finish'
  | 'revocation-held'
  | 'before-telling'
  | 'batch-before-end'
  | 'batch-in-end'

let armed: string | null = null
let left = 0

/** "after-commit:17": die at the 17th passage. Null: never. */
export function armCrash(at: string | null): void {
  const match = at === null ? null : /^([a-z-]+):(\d+)$/.exec(at)
  armed = match === null ? null : match[1]
  left = match === null ? 0 : Number(match[2])
}

export function crashpoint(point: CrashPoint): void {
  if (armed !== point || --left > 0) return
  process.kill(process.pid, 'SIGKILL')
}
