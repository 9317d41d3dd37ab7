/** Virtual keys, as `/key/info` and `/key/list` tell them: commands that create their like. Pure. */
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { countOf, listOf, type Notes, recordOf, shown, textOf } from './given.ts'
import { budgetOf } from './routing.ts'

const DAY_MS = 86_400_000
const TENANT = /^[A-Za-z0-9][\w.-]{0,63}$/
const MODEL = /^[\w.:/@+-]{1,200}\*?$|^\*$/
const ALL_MODELS = new Set(['all-proxy-models', 'all-team-models'])
const MOST_KEYS = 10_000

/** The lines of a shell; the keys themselves can't be taken over: only their digests are known. */
export function keyCommands(file: unknown, nowMs: number, notes: Notes): readonly string[] {
  const keys = keysIn(file)
  if (keys.length > MOST_KEYS) notes.add('keys', `only the first ${MOST_KEYS} were read`, 'Split the file.')
  return keys.slice(0, MOST_KEYS).flatMap((key, i) => commandOf(infoOf(key), `keys[${i}]`, nowMs, notes) ?? [])
}

const keysIn = (file: unknown): readonly unknown[] =>
  Array.isArray(file) ? file : isRecord(file) && Array.isArray(file['keys']) ? file['keys'] : [file]

const infoOf = (key: unknown): JsonRecord => (isRecord(key) && isRecord(key['info']) ? key['info'] : recordOf(key))

function commandOf(info: JsonRecord, at: string, nowMs: number, notes: Notes): string | null {
  const name = textOf(info['key_alias']) ?? textOf(info['key_name'])
  const where = name === null ? at : `${at} (${shown(name)})`
  if (Object.keys(info).length === 0) return left(where, 'it says nothing', notes)
  if (info['blocked'] === true) return left(where, 'it is blocked', notes)
  const expires = textOf(info['expires'])
  const endsAtMs = expires === null ? Infinity : Date.parse(expires)
  if (Number.isNaN(endsAtMs)) notes.add(`${where}.expires`, 'it is no date', 'Add --expires-days.')
  else if (endsAtMs <= nowMs) return left(where, 'it has expired', notes)
  const tenant = [info['team_alias'], info['team_id'], info['organization_id'], info['user_id']]
    .map(textOf)
    .find(Boolean)
  if (tenant && !TENANT.test(tenant))
    notes.add(`${where}.team_id`, 'it is no name for a tenant: "default" was taken', 'Choose one.')
  for (const member of [
    'model_max_budget',
    'model_rpm_limit',
    'model_tpm_limit',
    'soft_budget',
    'guardrails',
    'aliases',
  ])
    if (hasContent(info[member]))
      notes.add(`${where}.${member}`, 'keys have none', 'See limits and guards of its tenant.')
  const limits = {
    ...budgetOf(info['max_budget'], info['budget_duration'], `${where}.max_budget`, notes),
    ...counted('tokens_per_minute', info['tpm_limit']),
    ...counted('requests_per_minute', info['rpm_limit']),
    ...counted('concurrent', info['max_parallel_requests']),
  }
  const spent = typeof info['spend'] === 'number' ? info['spend'] : 0
  if (spent > 0 && hasContent(info['max_budget']))
    notes.add(
      `${where}.spend`,
      `${spent} of its budget are used: here it begins anew`,
      'Give it a smaller one at first.',
    )
  const models = modelsOf(info['models'], where, notes)
  return [
    `sluice keys create --tenant ${quoted(tenant && TENANT.test(tenant) ? tenant : 'default')}`,
    ...(name === null ? [] : [`--name ${quoted(shown(name))}`]),
    ...(models.length === 0 ? [] : [`--models ${quoted(models.join(','))}`]),
    ...(Object.keys(limits).length === 0 ? [] : [`--limits ${quoted(JSON.stringify(limits))}`]),
    ...(Number.isFinite(endsAtMs) ? [`--expires-days ${Math.ceil((endsAtMs - nowMs) / DAY_MS)}`] : []),
  ].join(' ')
}

function left(where: string, why: string, notes: Notes): null {
  notes.add(where, `${why}: no command was written`, 'Nothing.')
  return null
}

function modelsOf(given: unknown, where: string, notes: Notes): readonly string[] {
  const names = listOf(given).flatMap((each) => textOf(each) ?? [])
  if (names.some((name) => ALL_MODELS.has(name))) return []
  const [known, others] = [names.filter((name) => MODEL.test(name)), names.filter((name) => !MODEL.test(name))]
  for (const name of others) notes.add(`${where}.models`, `"${shown(name)}" is no model's name here`, 'Name it anew.')
  // Without any it might use all
  return names.length > 0 && known.length === 0 ? ['none'] : known
}

const counted = (name: string, value: unknown): Record<string, number> => {
  const count = countOf(value)
  return count === null ? {} : { [name]: count }
}

const hasContent = (value: unknown): boolean =>
  value !== null && value !== undefined && (typeof value !== 'object' || Object.keys(value).length > 0)

/** For a POSIX shell. */
const quoted = (text: string): string =>
  /^[\w.,:@*/+-]+$/.test(text) && !/[*]/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
