/** What things are called at the brokers: no pool's topic can have the name of another's, or of another kind. */
export const topicOf = (prefix: string, pool: string): string => `${prefix}.${pool}`
export const deadTopicOf = (prefix: string, pool: string): string => `${prefix}-dead.${pool}`
export const eventsTopicOf = (prefix: string): string => `${prefix}-events`

const ID = /^[\x21-\x7e]{1,255}$/

interface Named {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly headers: ReadonlyMap<string, string>
}

/** As its publisher named it, or its place. */
export function idOf({ headers, topic, partition, offset }: Named): string {
  const named = headers.get(HEADERS.id)
  return named !== undefined && ID.test(named) ? named : `${topic}:${partition}:${offset}`
}

/** Headers of messages. */
export const HEADERS = {
  id: 'x-sluice-id',
  /** Of dead letters: the error's code, its reason, and where the message was, "topic:partition:offset". */
  code: 'x-sluice-code',
  reason: 'x-sluice-reason',
  from: 'x-sluice-from',
  /** Of one that was too large to be kept: how many it had. */
  bytes: 'x-sluice-bytes',
} as const
