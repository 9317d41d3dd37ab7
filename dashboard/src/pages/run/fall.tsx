/** All jobs of a run, each under the one that asked for it, and where their time went on one axis. */
import { count, counted, duration, money } from '../../format.ts'
import { Mark } from '../../parts/mark.tsx'
import { Panel, Swatch } from '../../parts/panel.tsx'
import { hrefOf } from '../../router.ts'
import { Bars, Over } from '../job/waterfall.tsx'
import { STATES, shortId } from '../jobs/rows.ts'
import { nameOf, type RunJob, runAxis, spansOf, type TreeRow, treeOf } from './tree.ts'

/** Deeper ones stand no further in, and say how deep they are. */
const MOST_LEVELS = 6
const MOST_NAMED = 3

interface FallProps {
  readonly jobs: readonly RunJob[]
  /** How many it has. */
  readonly of: number
  readonly nowMs: number
}

export function Fall({ jobs, of, nowMs }: FallProps) {
  const axis = runAxis(jobs, nowMs)
  const rows = treeOf(jobs)
  return (
    <Panel
      title="Jobs"
      sub={jobs.length < of ? `the first ${count(jobs.length)} of ${count(of)}` : `over ${duration(axis.endMs)}`}
      right={
        <span class="fall-legend">
          <Swatch of="sand">waits</Swatch>
          <Swatch of="blue">to its first text</Swatch>
          <Swatch of="water">text</Swatch>
          <Swatch of="running">runs</Swatch>
        </span>
      }
    >
      <div class="fall run-fall">
        <Over axis={axis} cuts={[]} />
        <ol class="run-tree">
          {rows.map((row) => (
            <li key={row.job.id} class="fall-row">
              <Name {...row} />
              <span class="fall-track">
                <Bars spans={spansOf(row.job, axis.startMs)} axis={axis} />
              </span>
              <span class="fall-value">{used(row.job)}</span>
            </li>
          ))}
        </ol>
      </div>
    </Panel>
  )
}

function Name({ job, level }: TreeRow) {
  const { word, shape } = STATES[job.state]
  const name = nameOf(job)
  const after = job.after.slice(0, MOST_NAMED).map(shortId).join(', ')
  const more = job.after.length > MOST_NAMED ? ` and ${job.after.length - MOST_NAMED} more` : ''
  return (
    <span class="fall-name run-name" style={{ '--level': String(Math.min(MOST_LEVELS, level)) }}>
      <Mark shape={shape} label={word} />
      <a class="mono" href={hrefOf(`/jobs/${encodeURIComponent(job.id)}`)} title={job.id}>
        {shortId(job.id)}
      </a>
      {name !== null && (
        <strong class="run-step" title={name}>
          {name}
        </strong>
      )}
      <span class="muted">
        {level > MOST_LEVELS && `level ${level + 1} · `}
        {job.error !== null && <span class="bad">{job.error} · </span>}
        {job.model}
        {job.attempts > 1 && ` · ${counted(job.attempts, 'attempt')}`}
        {after !== '' && ` · after ${after}${more}`}
        {level > 0 && <span class="for-readers"> · asked for by {shortId(job.parent ?? '')}</span>}
      </span>
    </span>
  )
}

function used({ prompt_tokens: prompt, completion_tokens: completion, usd_at_most: usd }: RunJob): string {
  if (prompt === null && completion === null) return '–'
  const tokens = count((prompt ?? 0) + (completion ?? 0))
  return usd === null || usd === 0 ? tokens : `${tokens} · ≤ ${money(usd * 1e9)}`
}
