/**
 * The version of what the processes of a fleet say to each other. Within one version members may be added: whoever
 * does not know one ignores it. A rolling restart mixes N and N+1, so a reader takes both, and a message of a type that
 * it does not know is refused where it wants an answer, and ignored where it does not.
 */
export const VERSION = 1
