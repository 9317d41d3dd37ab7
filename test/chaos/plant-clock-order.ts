/** Loaded into a server (NODE_OPTIONS=--import): its order numbers come from the wall clock, as they once did. */
import { registerHooks } from 'node:module'

const PLANTED = `export class Orders {
  #last = 0
  next() {
    return (this.#last = Math.max(this.#last + 1, Math.floor(Date.now()) * 2048))
  }
}`

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context)
    return url.endsWith('/engines/embedded/jobs/orders.ts') ? { ...loaded, source: PLANTED } : loaded
  },
})
