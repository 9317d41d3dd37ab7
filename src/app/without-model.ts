/** Jobs in line for models that are no longer configured: they wait, and the operator is warned. */
import type { JobId, JobState } from '../core/job.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { Log } from '../observability/report.ts'
import type { Catalogue } from '../routing/catalogue.ts'

const IN_LINE: readonly JobState[] = ['queued', 'delayed', 'waiting']
const PAGE = 1_000
/** Jobs beyond these are not counted. */
const MAX_PAGES = 10

export async function warnOfJobsWithoutModel(
  jobs: Pick<Jobs, 'list'>,
  catalogue: Pick<Catalogue, 'resolve'>,
  log: Pick<Log, 'warn'>,
): Promise<void> {
  const waiting = new Map<string, number>()
  let before: { before?: JobId } = {}
  for (let page = 0; page < MAX_PAGES; page++) {
    const found = await jobs.list({ states: IN_LINE, limit: PAGE, ...before })
    for (const { model } of found)
      if (catalogue.resolve(model) === null) waiting.set(model, (waiting.get(model) ?? 0) + 1)
    if (found.length < PAGE) break
    before = { before: found[found.length - 1].id }
  }
  for (const [model, jobs] of waiting)
    log.warn(
      { model, jobs },
      `${jobs} jobs wait for the model "${model}", which is not configured: they run when it is back, or end at ` +
        'their deadlines',
    )
}
