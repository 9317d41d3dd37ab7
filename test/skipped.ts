/** After a run: one line that names the suites that were left out, and one that tells how deep it was. */
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
    const names = modules.flatMap((module) =>
      suitesOf(module)
        .filter(leftOut)
        .map((suite) => `${suite.name} (${module.relativeModuleId})`),
    )
    if (!DEEP) console.log('Few seeds and small sizes: npm run test:deep runs all.')
    console.log(names.length === 0 ? 'Skipped suites: none.' : `Skipped suites: ${names.join(', ')}.`)
  },
}
export default skipped
