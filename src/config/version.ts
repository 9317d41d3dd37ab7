/** The version, as in package.json. */
import { readFileSync } from 'node:fs'

/** What was built from src/config is in dist/src/config. */
const isSource = import.meta.url.endsWith('.ts')

export const version: string = (
  JSON.parse(readFileSync(new URL(`${isSource ? '' : '../'}../../package.json`, import.meta.url), 'utf8')) as {
    version: string
  }
).version
