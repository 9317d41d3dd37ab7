/** What `sluice doctor` says of a topic. Pure. */
import type { ExaminedTopic, FoundTopic, MissingTopic } from './examine.ts'

export interface Judgment {
  readonly verdict: 'ok' | 'note' | 'failed'
  readonly detail: string
}

export interface Wanted {
  readonly creates: boolean
  readonly partitions: number
  /** Null: the brokers' default. */
  readonly replicas: number | null
  /** The largest message that is published to it. */
  readonly maxMessageBytes: number
}

const DAY_MS = 86_400_000

export function judge(topic: ExaminedTopic, wanted: Wanted): Judgment {
  const { verdict, detail } = topic.kind === 'missing' ? judgeMissing(topic, wanted) : judgeFound(topic, wanted)
  return { verdict, detail: `topic ${topic.name}: ${detail}` }
}

function judgeMissing({ refusal }: MissingTopic, { creates, partitions, replicas }: Wanted): Judgment {
  const as = `${counted(partitions, 'partition')}${replicas === null ? '' : ` and ${counted(replicas, 'replica')}`}`
  const failed = (detail: string): Judgment => ({ verdict: 'failed', detail })
  if (refusal === 'TOPIC_ALREADY_EXISTS')
    return failed("it is there, but this user may not see it: allow Describe, Read and Write in the cluster's ACLs")
  if (!creates) return failed(`it is missing: make it, with ${as}, or set intakes.kafka.create_topics`)
  if (refusal === null) return { verdict: 'note', detail: `it is missing; the start of Sluice makes it, with ${as}` }
  if (/AUTHORIZATION_FAILED$/.test(refusal))
    return failed(
      `it is missing, or hidden from this user, who may not make it (${refusal}): make it yourself, with ${as}, and ` +
        'allow Describe, Read and Write, or allow Create too',
    )
  if (refusal === 'INVALID_REPLICATION_FACTOR')
    return failed(`it is missing, and the cluster has too few brokers for ${as}: lower intakes.kafka.replicas`)
  return failed(`it is missing, and the brokers would not make it (${refusal}): make it yourself, with ${as}`)
}

function judgeFound(
  { partitions, replicas, inSync, behind, settings }: FoundTopic,
  { maxMessageBytes }: Wanted,
): Judgment {
  const found = `${counted(partitions, 'partition')}, ${counted(replicas, 'replica')}`
  const notes: string[] = []
  const faults: string[] = []
  if (inSync === 0) faults.push('a partition has no broker at all: nothing of it is read or written')
  if (behind > 0) notes.push(`${counted(behind, 'partition')} with replicas that are not in sync`)
  if (replicas === 1) notes.push('one replica: what waits is lost with its broker')
  if (settings === null) {
    notes.push('its settings may not be seen (DescribeConfigs)')
    return judged(found, notes, faults)
  }
  const { minInSync, retentionMs, retentionBytes, isCompacted } = settings
  if (minInSync > replicas)
    faults.push(`min.insync.replicas is more than its replicas: every submit is refused, so lower it to ${replicas}`)
  else if (inSync > 0 && inSync < minInSync)
    faults.push(`a partition has only ${inSync} of its replicas in sync: submits are refused until more are`)
  else if (replicas > 1 && minInSync === replicas)
    notes.push('min.insync.replicas is all of them: with one broker lost, every submit is refused')
  else if (replicas > 1 && minInSync === 1)
    notes.push('min.insync.replicas is 1: what is confirmed may be on one broker alone, so set 2')
  if (isCompacted)
    faults.push('cleanup.policy has compact, which removes jobs of a key that are not done yet: set delete')
  if (settings.maxMessageBytes <= maxMessageBytes)
    notes.push(
      `max.message.bytes (${settings.maxMessageBytes}) is not more than intakes.kafka.max_message_bytes ` +
        `(${maxMessageBytes}): larger jobs are refused`,
    )
  if (retentionMs !== null && retentionMs < DAY_MS)
    notes.push('what Sluice has not taken by then is lost: let retention.ms be longer than the longest outage')
  const kept = [
    retentionMs === null ? 'without end' : `for ${lasting(retentionMs)}`,
    ...(retentionBytes === null ? [] : [`up to ${retentionBytes} bytes a partition`]),
  ].join(', ')
  return judged(`${found} (min.insync.replicas ${minInSync}), kept ${kept}`, notes, faults)
}

function judged(found: string, notes: readonly string[], faults: readonly string[]): Judgment {
  const verdict = faults.length > 0 ? 'failed' : notes.length > 0 ? 'note' : 'ok'
  return { verdict, detail: [found, ...faults, ...notes].join('; ') }
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

function lasting(ms: number): string {
  if (ms >= 2 * DAY_MS) return `${Math.round(ms / DAY_MS)} days`
  return ms >= 3_600_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 60_000)} min`
}
