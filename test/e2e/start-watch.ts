/** Preloaded into a process of ours (start.test.ts): when it ends, a file is left that tells what it loaded. */
import { writeFileSync } from 'node:fs'
import { getCompileCacheDir, registerHooks } from 'node:module'

export interface Seen {
  /** Addresses of modules and CommonJS files. */
  readonly loaded: readonly string[]
  /** Node's own modules. */
  readonly builtin: readonly string[]
  /** Where compiled code is kept. */
  readonly cache: string | undefined
  /** The same, as threads learn of it. */
  readonly threadsCache: string | undefined
}

const loaded: string[] = []
registerHooks({
  load(url, context, next) {
    loaded.push(url)
    return next(url, context)
  },
})
process.on('exit', () => {
  const { moduleLoadList: builtin } = process as unknown as { readonly moduleLoadList: readonly string[] }
  const { SLUICE_TEST_SEEN, NODE_COMPILE_CACHE: threadsCache } = process.env
  const seen: Seen = { loaded, builtin, cache: getCompileCacheDir(), threadsCache }
  writeFileSync(SLUICE_TEST_SEEN!, JSON.stringify(seen))
})
