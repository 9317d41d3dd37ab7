/** What an entry of the audit means to people: in the words of the page of changes (dashboard/src/pages/changes). */

export interface Change {
  readonly action: string
  readonly target: string
  readonly before: Readonly<Record<string, unknown>>
  readonly after: Readonly<Record<string, unknown>>
}

/** Of a name or a value, in characters. */
const MOST = 60
const MOST_CHANGES = 4

/** "key-rotated", "key key_ab12" → "Key key_ab12" and " rotated" */
export function wordsOfChange({ action, target, before, after }: Change): {
  readonly subject: string
  readonly rest: string
} {
  const name = target.slice(0, 100)
  if (action === 'text-viewed')
    return { subject: `${after['part'] === 'request' ? 'Request' : 'Answer'} of ${name}`, rest: ' viewed' }
  if (action === 'config-reloaded')
    return { subject: 'Configuration', rest: ` reloaded${listed(after['changed'])}${waits(after['needs_restart'])}` }
  const verb = action.slice(action.indexOf('-') + 1).replaceAll('-', ' ')
  const isNew = Object.keys(before).length === 0
  const changes = Object.keys({ ...before, ...after })
    .filter((member) => !HIDDEN.test(member))
    .flatMap((member) => changeOf(member, before[member], after[member], isNew))
  return {
    subject: action.startsWith('queue-') ? `Queue of ${name}` : name.slice(0, 1).toUpperCase() + name.slice(1),
    rest: ` ${verb}${changes.length === 0 ? '' : `: ${changes.slice(0, MOST_CHANGES).join(', ')}`}`,
  }
}

/** What the subject and the verb tell already, or nobody changed. */
const HIDDEN =
  /^(?:id|object|tenant|source|limits_source|changed_at|created_at|hint|paused|drained|disabled|part|role)$/

/** Names of settings: they are told without values. */
const listed = (settings: unknown): string =>
  Array.isArray(settings) && settings.length > 0
    ? `: ${settings.slice(0, 4).join(', ').slice(0, 120)}${settings.length > 4 ? ' …' : ''}`
    : ''

const waits = (settings: unknown): string =>
  Array.isArray(settings) && settings.length > 0
    ? `; ${settings
        .slice(0, MOST_CHANGES)
        .join(', ')
        .slice(0, 2 * MOST)} only after a restart`
    : ''

function changeOf(name: string, before: unknown, after: unknown, isNew: boolean): readonly string[] {
  if (isRecord(before) || isRecord(after)) {
    const [one, other] = [isRecord(before) ? before : {}, isRecord(after) ? after : {}]
    return Object.keys({ ...one, ...other })
      .filter((member) => JSON.stringify(one[member]) !== JSON.stringify(other[member]))
      .flatMap((member) =>
        changeOf(name === 'limits' ? member : `${name} ${member}`, one[member], other[member], isNew),
      )
  }
  const [from, to] = [shown(before), shown(after)]
  return from === to ? [] : [`${name.replaceAll('_', ' ')} ${isNew ? to : `${from} → ${to}`}`]
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function shown(value: unknown): string {
  if (value === undefined || value === null || value === '') return 'none'
  if (typeof value === 'number') return value.toLocaleString('en')
  const text = Array.isArray(value) ? value.slice(0, 5).join(', ') : String(value)
  return text.length > MOST ? `${text.slice(0, MOST - 1)}…` : text
}
