/** After a run: one line that counts the suites that were left out, and one that tells how deep it was. */
import { dirname } from 'node:path'
import type { Reporter, TestModule, TestSuite } from 'vitest/node'
import { DEEP } from './depth.ts'

const suitesOf = (module: TestModule): TestSuite[] => [...module.children.suites()]

/** A suite counts as left out when it has tests and all of them were skipped. */
function leftOut(suite: TestSuite): boolean {
  const tests = [...suite.children.allTests()]
  return tests.length > 0 && tests.every((test) => test.result().state === 'skipped')
}

const skipped: Reporter = {
  onTestRunEnd(modules) {
    const skipped = new Map<string, number>()
    for (const module of modules) {
      const folder = dirname(module.relativeModuleId)
      const suites = suitesOf(module).filter(leftOut).length
      if (suites > 0) skipped.set(folder, (skipped.get(folder) ?? 0) + suites)
    }
    const counts = [...skipped].map(([folder, suites]) => `${folder} ${suites}`).sort()
    if (!DEEP) console.log('Few seeds and small sizes: npm run test:deep runs all.')
    console.log(`Skipped suites: ${counts.length === 0 ? 'none' : counts.join(', ')}.`)
  },
}
export default skipped
