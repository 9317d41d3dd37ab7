/** A LiteLLM configuration as one of Sluice, and what of it has no counterpart. Pure. */
import { checkedModel } from '../../config/model-problem.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { leftOut, listOf, type Note, Notes, recordOf, Secrets, shown, textOf, variablesIn } from './given.ts'
import { keyCommands } from './keys.ts'
import { type Entry, entryOf, full, known, type Reading } from './models.ts'
import { type Fallbacks, type Routing, routingOf } from './routing.ts'

export interface Translated {
  readonly models: readonly Entry[]
  /** Top-level settings besides the models. */
  readonly settings: Readonly<Record<string, unknown>>
  readonly notes: readonly Note[]
  /** Notes that were too many to keep. */
  readonly notesLeft: number
  /** Variables that were made for secrets that stand in the file, and where. */
  readonly moved: ReadonlyMap<string, string>
  readonly commands: readonly string[]
}

const MOST_ENTRIES = 2_000

/** `keys`: undefined where none were given. */
export function translate(
  file: JsonRecord,
  { keys, variable, nowMs }: { readonly keys: unknown; readonly variable: Reading['variable']; readonly nowMs: number },
): Translated {
  const notes = new Notes()
  const secrets = new Secrets(variablesIn(file))
  const reading = { notes, secrets, variable, credentials: credentialsOf(file) }
  const list = listOf(file['model_list'])
  if (list.length > MOST_ENTRIES) notes.add('model_list', `only the first ${MOST_ENTRIES} were read`, 'Split it.')
  const given = list.slice(0, MOST_ENTRIES).flatMap((one, i) => entryOf(one, `model_list[${i}]`, reading) ?? [])
  const routing = routingOf(file, notes)
  const named = withAliases(unique(given, notes), routing.aliases, notes)
  const valid = named
    .map(({ from, settings }) => ({ from, settings: known(settings, from, notes) }))
    .filter((entry) => isValid(entry, notes))
  const models = withFallbacks(valid, routing, notes)
  if (models.length === 0) notes.add('model_list', 'no entry is left', 'Without models the demo model is served.')
  const commands = keys === undefined ? [] : keyCommands(keys, nowMs, notes)
  if (commands.length > 0)
    notes.add(
      'keys',
      "keys can't be taken over: what is stored of one is a digest",
      'Run the commands, and hand out the new ones.',
    )
  return { models, settings: routing.settings, notes: notes.all, notesLeft: notes.left, moved: secrets.moved, commands }
}

const credentialsOf = (file: JsonRecord): ReadonlyMap<string, JsonRecord> =>
  new Map(
    listOf(file['credential_list']).flatMap((one) => {
      const name = isRecord(one) ? textOf(one['credential_name']) : null
      return name === null ? [] : [[name, recordOf((one as JsonRecord)['credential_values'])] as const]
    }),
  )

/** Each name of a deployment once. */
function unique(entries: readonly Entry[], notes: Notes): readonly Entry[] {
  const taken = new Set<unknown>()
  return entries.map((entry) => {
    const { deployment, ...others } = entry.settings
    if (deployment === undefined) return entry
    if (!taken.has(deployment)) {
      taken.add(deployment)
      return entry
    }
    notes.add(entry.from, `its id "${shown(String(deployment))}" is another one's, too`, 'It was given none.')
    return { ...entry, settings: others }
  })
}

function withAliases(entries: readonly Entry[], aliases: Routing['aliases'], notes: Notes): readonly Entry[] {
  const all = [...entries]
  for (const [alias, model] of aliases) {
    const copies = entries.filter(({ settings }) => settings['name'] === model)
    const why =
      copies.length === 0
        ? `there is no model "${shown(model)}"`
        : 'its limits are counted apart from those of the model'
    notes.add(`model_group_alias: ${alias}`, why, copies.length === 0 ? 'Remove it.' : 'Lower them, or use one name.')
    if (all.length + copies.length > MOST_ENTRIES) break
    for (const { from, settings } of copies) {
      const { deployment: _, ...others } = settings
      all.push({ from: shown(`${alias}, another name for ${from}`), settings: { ...others, name: alias } })
    }
  }
  return all
}

/** Of a group, the first entry has them. */
function withFallbacks(entries: readonly Entry[], { fallbacks }: Routing, notes: Notes): readonly Entry[] {
  const names = new Set(entries.map(({ settings }) => settings['name']))
  for (const name of fallbacks.keys())
    if (name !== '*' && !names.has(name)) notes.add(`fallbacks: ${name}`, 'there is no such model', 'Remove it.')
  const done = new Set<unknown>()
  return entries.map((entry) => {
    const { name } = entry.settings
    const own = fallbacks.get(String(name)) ?? fallbacks.get('*')
    if (own === undefined || done.has(name)) return entry
    done.add(name)
    const those = full({ fallbacks: existing(own, String(name), names, notes) })
    return { ...entry, settings: { ...entry.settings, ...those } }
  })
}

function existing(own: Fallbacks, name: string, names: ReadonlySet<unknown>, notes: Notes): Fallbacks {
  const those = (models: readonly string[]): string[] =>
    models.filter((model) => {
      if (!names.has(model)) notes.add(`fallbacks: ${name}`, `there is no model "${shown(model)}"`, 'Add it.')
      return names.has(model) && model !== name
    })
  return {
    general: those(own.general),
    context_window: those(own.context_window),
    content_policy: those(own.content_policy),
  }
}

/** By the very rules that the file will be read with: what they refuse is told, and left out. */
function isValid({ from, settings }: Entry, notes: Notes): boolean {
  const checked = checkedModel(settings)
  if ('settings' in checked) return true
  notes.add(from, leftOut(`${checked.setting} ${checked.problem}`), 'Write it by hand.')
  return false
}
