/** A run leaves nothing in the tree: what tests write is in the temporary folder of the system, and goes with them. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

const OTHERS = new Set(['node_modules', '.git', 'dist', 'build', 'shared'])

function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (!entry.isDirectory()) return [path]
    return OTHERS.has(entry.name) ? [] : filesIn(path)
  })
}

/** Vitest's global set-up; what it returns is run after all tests. */
export default function watchForStrayFiles(): () => void {
  const root = join(import.meta.dirname, '..')
  const before = new Set(filesIn(root))
  return () => {
    const stray = filesIn(root).filter((file) => !before.has(file))
    if (stray.length > 0) throw new Error(`The tests have left files in the tree: ${stray.join(', ')}`)
  }
}
