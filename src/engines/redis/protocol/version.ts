/**
 * The version of what the processes of a fleet say to each other. Within one version members may be added: whoever
 * does not know one ignores it. A rolling restart mixes N and N+1, so a reader takes both, and a message of a type that
 * it does not know is refused where it wants an answer, and ignored where it does not.
 */
export const VERSION = 1

/**
 * The newest layout of the store that this version reads. One that stores something which an older version can't read
 * raises it, and stores that only where the fleet's own layout (`layout` in Redis) is as new: the coordinator raises
 * that when every process which is there reads it, and no outage was so recent that others may come back. From then on
 * older processes refuse to start.
 */
export const LAYOUT = 2

/** From this one on, what a retry may join is in a hash for each window of time, instead of a key for each job. */
export const JOINED_BY_WINDOW = 2
/** From this one on, what is indexed of ended jobs may wait: see lua/jobs.lua. */
export const FILED_LATER = 2
/** From this one on, a process takes leases whose row comes beside them. */
export const ROWS_BESIDE = 2

/** What a process reads. */
export const layoutOf = (process: string): number => Number.parseInt(process, 10) || 0

/** Unique over the fleet, though machines were cloned with all their randomness; told by its name: what it reads. */
export const nameOf = (number: number, random: string): string => `${LAYOUT}-${number}-${random}`
