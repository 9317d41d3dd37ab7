/** Words of the suites that need no test runner. */
import type { JobDraft, JobOptions } from '../../src/core/job.ts'
import { countOf, type Metric } from '../../src/core/numbers.ts'
import type { Outcome } from '../../src/core/ports/work.ts'

let serial = 0
export type DraftOptions = Omit<Partial<JobDraft>, 'options' | 'body'> & {
  readonly options?: Partial<JobOptions>
  readonly body?: string | Uint8Array
}

/** A job that differs from every other one, unless told. */
export function draft(given: DraftOptions = {}): JobDraft {
  const {
    options,
    body = `{"model":"m","messages":[{"role":"user","content":"hello ${++serial}"}]}`,
    ...others
  } = given
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  return {
    tenant: 'acme',
    keyId: 'key_1',
    kind: 'chat',
    model: 'm',
    body: bytes,
    bodyHash: `hash of ${bytes.length > 1000 ? bytes.length : Buffer.from(bytes).toString()}`,
    isRetry: false,
    dialect: 'chat',
    takesBack: false,
    promptTokens: 10,
    ...others,
    options: {
      pool: 'text',
      priority: 'normal',
      deadlineMs: 3_600_000,
      policy: 'wait',
      onWorkerLoss: 'continue',
      onDisconnect: 'continue',
      ...options,
    },
  }
}

export const DONE: Outcome & { readonly kind: 'done' } = {
  kind: 'done',
  usage: { promptTokens: 10, completionTokens: 3, estimated: false },
  timing: { queuedMs: 1, ttftMs: 2, totalMs: 3, attempts: 1 },
}

/** A part's numbers by name; of a histogram, how much it counted. */
export const numbersOf = ({ metrics }: { readonly metrics: readonly Metric[] }): Record<string, number> =>
  Object.fromEntries(
    metrics.map((one) => [
      one.name,
      one.kind === 'counter' ? one.value : one.kind === 'gauge' ? one.read() : countOf(one),
    ]),
  )
