/** What is replaced by a bug is still in the sources, once. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { PLANTS } from './plants.ts'

it.each(PLANTS)('can be planted: $name', ({ edits }) => {
  for (const [file, from, to] of edits) {
    const source = readFileSync(join(import.meta.dirname, '../../../src', file), 'utf8')
    expect(source.split(from), `${file}: ${from}`).toHaveLength(2)
    expect(to).not.toBe(from)
  }
})
