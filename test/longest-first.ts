/**
 * The files that take longest begin first. On a fresh machine nothing is known of durations, and Vitest begins with the
 * largest: a small one that takes a minute would be begun last, and run alone at the end.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node'

export const LONGEST = [
  'test/dashboard/looks.test.ts',
  'test/dashboard/secrets.test.ts',
  'test/dashboard/away.test.ts',
  'test/dashboard/acts.test.ts',
  'test/conformance/redis-power.test.ts',
  'test/conformance/redis-process.test.ts',
  'test/conformance/redis-cluster.test.ts',
  'test/examples/chat.test.ts',
  'test/redis/coordinator.test.ts',
  'test/e2e/processes.test.ts',
  'test/e2e/fleet-sums.test.ts',
  'test/e2e/portable.test.ts',
  'test/simulation/fleet/fleet.test.ts',
  'test/front/large-answers.test.ts',
  'test/protocol/server.test.ts',
  'client/test/live.test.ts',
  'client/test/conversation.test.ts',
  'test/conformance/embedded-power.test.ts',
  'test/conformance/embedded-process.test.ts',
  'test/conformance/embedded-memory.test.ts',
  'src/cli/serve-signals.test.ts',
  'src/cli/serve.test.ts',
  'test/front/tenants.test.ts',
  'test/protocol/conformance.test.ts',
  'test/redis/members.test.ts',
  'src/bench/measured.test.ts',
  'src/cli/serve-reload.test.ts',
  'src/cli/main.test.ts',
  'test/e2e/slow-reader.test.ts',
  'test/e2e/cli.test.ts',
  'test/protocol/bad-frames.test.ts',
  'test/conformance/provider.test.ts',
  'test/conformance/embedded-faults.test.ts',
  'test/front/sweep.test.ts',
]

const rank = ({ moduleId }: TestSpecification): number => {
  const at = LONGEST.findIndex((file) => moduleId.endsWith(`/${file}`))
  return at < 0 ? LONGEST.length : at
}

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}
