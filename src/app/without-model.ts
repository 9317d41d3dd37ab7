/** Jobs in line for models that are no longer configured: they wait, and the operator is warned. */
import type { JobId, JobState } from '../core/job.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { Log } from '../observability/report.ts'
import type { Catalogue } from '../routing/catalogue.ts'

const IN_LINE: readonly JobState[] = ['queued', 'delayed', 'waiting']
const PAGE = 1_000
/** Jobs beyond these are not counted. */
const MAX_PAGES = 10

/** A look that fails is logged: nothing else depends on it. */
export async function warnOfJobsWithoutModel(
  jobs: Pick<Jobs, 'list'>,
  catalogue: Pick<Catalogue, 'resolve'>,
  log: Pick<Log, 'warn'>,
): Promise<void> {
  try {
    for (const [model, count] of await jobsWithoutModel(jobs, catalogue))
      log.warn(
        { model, jobs: count },
        `${count} jobs wait for the model "${model}", which is not configured: they run when it is back, or end at ` +
          'their deadlines',
      )
  } catch (err) {
    log.warn({ err }, 'jobs that wait for models which are not configured could not be counted')
  }
}

async function jobsWithoutModel(
  jobs: Pick<Jobs, 'list'>,
  catalogue: Pick<Catalogue, 'resolve'>,
): Promise<ReadonlyMap<string, number>> {
  const waiting = new Map<string, number>()
  let before: { before?: JobId } = {}
  for (let page = 0; page < MAX_PAGES; page++) {
    const found = await jobs.list({ states: IN_LINE, limit: PAGE, ...before })
    for (const { model } of found)
      if (catalogue.resolve(model) === null) waiting.set(model, (waiting.get(model) ?? 0) + 1)
    if (found.length < PAGE) break
    before = { before: found[found.length - 1].id }
  }
  return waiting
}
