/** Writes the recordings and what is expected of them: `node test/golden-streams/make.ts` */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { filesOf } from './files.ts'

for (const [name, content] of filesOf()) writeFileSync(join(import.meta.dirname, name), content)
