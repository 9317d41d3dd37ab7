/**
 * An agent whose work is one run: a plan, parts that are done side by side once it is there, a report made of them, and
 * revisions that would never end. One budget holds for all of it. Then a second one, which is canceled.
 *
 *   SLUICE_API_KEY=sk-sluice-… node examples/runs/main.ts [--steps 10]
 */
import { parseArgs } from 'node:util'
import { connect, type Job, type SluiceError } from '@sluice/client'

const { SLUICE_URL = 'http://127.0.0.1:4100', SLUICE_API_KEY, SLUICE_MODEL = 'demo' } = process.env
const { values } = parseArgs({ options: { steps: { type: 'string', default: '10' } } })
if (!SLUICE_API_KEY) fail('Set SLUICE_API_KEY to an API key; Sluice prints one at its first start.')

let wasOpen = false
const sluice = connect({
  url: SLUICE_URL,
  key: SLUICE_API_KEY,
  onState(state) {
    wasOpen ||= state === 'open'
  },
  onError(error) {
    // Later, a lost connection comes back by itself
    if (!wasOpen)
      fail(
        error.code === 'connection_lost' ? `${SLUICE_URL} can't be reached; is Sluice running there?` : error.message,
      )
  },
})

/** What a job answered stands where this is. Sluice puts it there when the job is done: nobody here waits for it. */
const output = (job: string): object => ({ type: 'job_output', job })
const text = (words: string): object => ({ type: 'text', text: words })

interface Task {
  readonly run: string
  /** The job that asks for it. */
  readonly parent?: string
  /** Ids of jobs: it waits until all of them are done. */
  readonly after?: readonly string[]
}

/** Resolves with its job once it is accepted. */
async function submit(content: string | readonly object[], task: Task): Promise<Job & { readonly id: string }> {
  const job = sluice.submit({
    request: { model: SLUICE_MODEL, max_tokens: 60, messages: [{ role: 'user', content }] },
    ...task,
  })
  await job.accepted
  return job as Job & { readonly id: string }
}

async function work(run: string): Promise<void> {
  const plan = await submit('Plan a guide to the rivers of Europe: one line for each part.', { run })
  // All of it is in line at once, in the order of its dependencies
  const parts = await Promise.all(
    ['The north', 'The south', 'The east', 'The west'].map((part) =>
      submit([text(`Write the part “${part}” of this plan:`), output(plan.id)], {
        ...{ run, parent: plan.id, after: [plan.id] },
      }),
    ),
  )
  const ids = parts.map(({ id }) => id)
  const report = await submit([text('Make one guide of these parts:'), ...ids.map(output)], {
    ...{ run, parent: plan.id, after: ids },
  })
  const { text: guide } = await report.answer()
  process.stdout.write(`The guide has ${guide.length} characters, from ${ids.length} parts.\n`)

  // An agent that is never content
  for (let draft = report.id, n = 1; ; n++) {
    try {
      const revision = await submit([text(`Find a fault, and mend it (${n}):`), output(draft)], {
        ...{ run, parent: draft, after: [draft] },
      })
      await revision.answer()
      draft = revision.id
    } catch (error) {
      if ((error as SluiceError).code !== 'run_budget_exceeded') throw error
      process.stdout.write(`After ${n - 1} revisions its budget ended it: ${(error as SluiceError).message}\n`)
      return
    }
  }
}

/** Its jobs, each under the one that asked for it. */
async function show(run: string): Promise<void> {
  const { totals, jobs } = await sluice.runs.get(run, { limit: 1_000 })
  process.stdout.write(`Run ${run}: ${totals.jobs} jobs, ${totals.steps} steps, ${totals.total_tokens} tokens.\n`)
  for (const { id, depth, state, completion_tokens: tokens, error } of jobs)
    process.stdout.write(`${'  '.repeat(depth)}${id.slice(-6)} ${state}, ${error ?? `${tokens ?? 0} tokens`}\n`)
}

try {
  const { id: run } = await sluice.runs.create({
    budget: { steps: Number(values.steps), tokens: 200_000 },
    metadata: { task: 'guide' },
  })
  await work(run)
  await show(run)

  const { id: other } = await sluice.runs.create({ budget: { steps: 100 } })
  const root = await submit('Write all that there is to say of rivers. demo: tokens=4000', { run: other })
  for (let n = 0; n < 5; n++)
    await submit([text('Say it shorter:'), output(root.id)], { run: other, parent: root.id, after: [root.id] })
  const { canceled } = await sluice.runs.cancel(other)
  process.stdout.write(`Run ${other} was canceled, with ${canceled} jobs.\n`)
} catch (error) {
  fail((error as Error).message)
}
sluice.close()

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
