/** What things are called at the brokers. */
export const topicOf = (prefix: string, pool: string): string => `${prefix}.${pool}`
export const deadTopicOf = (prefix: string, pool: string): string => `${prefix}.${pool}.dead`
export const eventsTopicOf = (prefix: string): string => `${prefix}.events`

/** Headers of messages. */
export const HEADERS = {
  id: 'x-sluice-id',
  /** Of dead letters: the error's code, its reason, and where the message was, "topic:partition:offset". */
  code: 'x-sluice-code',
  reason: 'x-sluice-reason',
  from: 'x-sluice-from',
} as const
