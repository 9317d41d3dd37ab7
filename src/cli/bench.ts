/** `sluice bench`: measures a target that speaks OpenAI's dialect, or Sluice's own protocols. */
import { aa, compare } from './bench-compare.ts'
import { importRun, report, selfTestOnly } from './bench-more.ts'
import { run } from './bench-run.ts'
import type { Group } from './command.ts'

export const command: Group = {
  about: 'Measures what users of a model wait for: time to first token, time per output token, and why.',
  commands: { run, compare, aa, report, 'self-test': selfTestOnly, import: importRun },
}
