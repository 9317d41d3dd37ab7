// Half of what a start takes is finding, stripping and compiling modules: docs/decisions/0030-start.md.
import module from 'node:module'
import { fileURLToPath } from 'node:url'

export function startFast() {
  // What was compiled is kept for the next start: beside the packages, where only their owner can write
  process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('../node_modules/.cache/sluice', import.meta.url))
  module.enableCompileCache()
  // Relative imports name files as they are; Node would ask the disk about each six times
  module.registerHooks({
    resolve(specifier, context, next) {
      if (!specifier.startsWith('.') || !context.conditions.includes('import')) return next(specifier, context)
      // zod's messages in 60 languages, a file each: ours are in none of them
      if (specifier === '../locales/index.js') return { url: 'data:text/javascript,', shortCircuit: true }
      const format = specifier.endsWith('.ts') ? 'module-typescript' : undefined
      return { url: new URL(specifier, context.parentURL).href, format, shortCircuit: true }
    },
  })
}
