/** Loaded into a server (NODE_OPTIONS=--import plant.ts?NAME), in its threads too: its sources then have that bug. */
import { registerHooks } from 'node:module'
import { PLANTS } from './plants.ts'

const name = decodeURIComponent(new URL(import.meta.url).search.slice(1))
const plant = PLANTS.find((each) => each.name === name)
if (plant === undefined) throw new Error(`no such plant: ${name}`)

function planted(source: string, edits: ReadonlyArray<readonly [from: string, to: string]>): string {
  let text = source
  for (const [from, to] of edits) {
    if (!text.includes(from)) throw new Error(`it does not say "${from}" any more`)
    text = text.replace(from, () => to)
  }
  return text
}

/** Lua is read by the scripts' loader, not by Node's. */
const lua = plant.edits.flatMap(([file, from, to]) =>
  file.endsWith('.lua') ? [[file.split('/').at(-1)!, from, to]] : [],
)
// biome-ignore lint/suspicious/noTemplateCurlyInString: it is source
const READS = "readFileSync(new URL(`../lua/${file}.lua`, import.meta.url), 'utf8')"
const scripts = `${JSON.stringify(lua)}.reduce((text, [name, from, to]) => {
  if (name !== file + '.lua') return text
  if (!text.includes(from)) throw new Error('it does not say "' + from + '" any more')
  return text.replace(from, () => to)
}, ${READS})`

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context)
    const edits = plant.edits.flatMap(([file, from, to]) => (url.endsWith(`/src/${file}`) ? [[from, to] as const] : []))
    if (lua.length > 0 && url.endsWith('/engines/redis/client/scripts.ts')) edits.push([READS, scripts])
    return edits.length === 0 ? loaded : { ...loaded, source: planted(String(loaded.source), edits) }
  },
})
