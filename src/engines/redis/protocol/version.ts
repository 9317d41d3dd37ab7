/**
 * The version of what the processes of a fleet say to each other. Within one version members may be added: whoever
 * does not know one ignores it. A rolling restart mixes N and N+1, so a reader takes both, and a message of a type that
 * it does not know is refused where it wants an answer, and ignored where it does not.
 */
export const VERSION = 1

/**
 * The newest layout of the store that this version reads. One that stores something which an older version can't read
 * raises it, and stores that only where the fleet's own layout (`layout` in Redis) is as new: the coordinator raises
 * that when every process which is there reads it. From then on older processes refuse to start.
 */
export const LAYOUT = 1

/** Unique over the fleet, though machines were cloned with all their randomness; told by its name: what it reads. */
export const nameOf = (number: number, random: string): string => `${LAYOUT}-${number}-${random}`
