/** For modules that are loaded into a server (NODE_OPTIONS=--import), to break it in one place. */
import { registerHooks } from 'node:module'

/** `text` of the module becomes `planted`. Throws where it is not there: a plant that breaks nothing proves nothing. */
export function plant(module: string, text: string, planted: string): void {
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context)
      if (!url.endsWith(module)) return loaded
      const source = String(loaded.source)
      if (!source.includes(text)) throw new Error(`${module} has changed: there is no "${text}"`)
      return { ...loaded, source: source.replace(text, planted) }
    },
  })
}
