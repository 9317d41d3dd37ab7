/** An earlier version of this repository, as it was committed, with the packages of this one. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')
/** As far back as a fleet that is updated now and then may be. */
const DEFAULT_REF = 'HEAD~50'
const MOST_BYTES = 256 * 2 ** 20

const git = (...args: readonly string[]): Buffer =>
  execFileSync('git', ['-C', ROOT, ...args], { maxBuffer: MOST_BYTES, stdio: ['ignore', 'pipe', 'ignore'] })

/** The commit that it is; null: there is no such history here. */
export function earlierCommit(ref: string = DEFAULT_REF): string | null {
  try {
    return git('rev-parse', '--verify', '--quiet', `${ref}^{commit}`).toString().trim()
  } catch {
    return null
  }
}

/** Its tree in a folder of its own. */
export class EarlierVersion {
  readonly root = mkdtempSync(join(tmpdir(), 'sluice-earlier-'))

  constructor(commit: string) {
    execFileSync('tar', ['-x', '-C', this.root], { input: git('archive', commit, 'bin', 'src', 'package.json') })
    symlinkSync(join(ROOT, 'node_modules'), join(this.root, 'node_modules'))
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true })
  }
}
