/** Loads a package where it is first used, at once: what few need shall not lengthen every start. */
import { createRequire } from 'node:module'

export const load: (name: string) => unknown = createRequire(import.meta.url)
