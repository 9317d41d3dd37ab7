/** Bugs that the fleet's oracle is shown, and must see: each is in the sources of all processes as they load. */
import { EVENTS, type Event, INTAKE_EVENTS } from './events.ts'

/** Of a file: a text, and what it becomes. */
export type Edit = readonly [file: string, from: string, to: string]

export interface Plant {
  readonly name: string
  readonly edits: readonly Edit[]
  /** Of fleets that have a broker in front. */
  readonly isOfIntakes?: boolean
  /** What brings it to light, and how often. */
  readonly events: readonly Event[]
  readonly times: number
  /** A violation that it causes. */
  readonly seen: RegExp
}

const eventsOf = (...names: readonly string[]): readonly Event[] => {
  const found = [...new Set([...EVENTS, ...INTAKE_EVENTS])].filter(({ name }) => names.includes(name))
  if (found.length !== names.length) throw new Error(`no such events: ${names}`)
  return found
}

export const PLANTS: readonly Plant[] = [
  {
    name: 'no fence for commits',
    edits: [
      [
        'engines/redis/lua/commit.lua',
        "if of ~= term or tonumber(expected) < number then return { 'fenced', tostring(fence) } end",
        '',
      ],
      ['engines/redis/lua/commit.lua', "if tonumber(expected) > number then return { 'in' } end", ''],
    ],
    events: eventsOf('stop the coordinator', 'cut the coordinator off'),
    times: 3,
    seen: /^[JSEP]\d/,
  },
  {
    name: 'no fence for attempts',
    edits: [
      ['engines/redis/lua/append.lua', 'return row and string.sub(row, 1, #fence) == fence', 'return true'],
      ['engines/redis/lua/append.lua', 'if length == number + 1 then', 'if true then'],
      ['engines/redis/lua/append.lua', 'if first ~= head + 1 then', 'if false then'],
    ],
    events: eventsOf('stop a worker', 'cut a link'),
    times: 3,
    seen: /^[JSE]\d/,
  },
  {
    name: 'a resume that skips a record',
    edits: [
      [
        'delivery/subscription.ts',
        'if (form.beginsAnywhere) this.seq = n',
        'if (form.beginsAnywhere) this.seq = n + 1',
      ],
    ],
    events: eventsOf('kill a gateway'),
    times: 2,
    seen: /^S1 .*(a gap before|a chunk is missing before)/,
  },
  {
    name: 'a gap that is not told',
    edits: [
      ['delivery/subscription.ts', 'if (hasShown && gap !== null) this.#outlet.write(gap(this.#feed.job))', ''],
      ['delivery/subscription.ts', "return 'gap'", "return 'ok'"],
    ],
    events: eventsOf('fail-over'),
    times: 2,
    seen: /^S1/,
  },
  {
    name: 'a broker that is told of a job before the coordinator owns it',
    isOfIntakes: true,
    edits: [
      [
        'intakes/ingest.ts',
        'const verdict = await this.#take(delivery, from)',
        'this.#take(delivery, from).catch(() => {}); const verdict = OWNED',
      ],
    ],
    events: eventsOf('cut each gateway off and kill it'),
    times: 1,
    seen: /^J1 .*acknowledged and lost/,
  },
]

/** The environment of a process with that bug. */
export const plantedEnv = (name: string): Record<string, string> => ({
  NODE_OPTIONS: `--import ${new URL(`./plant.ts?${encodeURIComponent(name)}`, import.meta.url)}`,
})
