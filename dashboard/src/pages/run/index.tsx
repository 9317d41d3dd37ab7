/** A run of an agent: its jobs as a tree on one axis, what it has used of its budget, and its end. */
import { useEffect, useState } from 'preact/hooks'
import { call } from '../../api.ts'
import { clock, count, counted, money, whole } from '../../format.ts'
import { useKey } from '../../keys.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { Bullet } from '../../parts/bars.tsx'
import { Button, CopyButton } from '../../parts/button.tsx'
import { confirm } from '../../parts/dialog.tsx'
import { Count } from '../../parts/figure.tsx'
import { Head } from '../../parts/head.tsx'
import { Mark } from '../../parts/mark.tsx'
import { Panel } from '../../parts/panel.tsx'
import { attempt } from '../../parts/toast.tsx'
import { hrefOf } from '../../router.ts'
import { forbids } from '../../session.ts'
import { serverNow, tick } from '../../socket.ts'
import type { PageProps } from '../index.ts'
import './run.css'
import { Fall } from './fall.tsx'
import { RUN_STATES, type RunView, tellRun } from './tree.ts'

const RUNS = { title: 'Runs', to: '/runs' }
const MOST_SHOWN = 1_000
/** A run of many jobs is dear to look at. */
const MANY = 2_000
const LIVE_MS = 2_000
const IDLE_MS = 15_000

export function Run({ params: { tenant, run } }: PageProps) {
  const path = `/admin/runs/${encodeURIComponent(tenant)}/${encodeURIComponent(run)}`
  const [everyMs, setEvery] = useState(LIVE_MS)
  const loaded = useLoad<RunView>(`${path}?limit=${MOST_SHOWN}`, everyMs)
  const { data, error } = loaded
  const { jobs = 0, states = {} } = data?.totals ?? {}
  const live = (states.queued ?? 0) + (states.waiting ?? 0) + (states.delayed ?? 0) + (states.leased ?? 0)
  const wanted = jobs > MANY || live === 0 ? IDLE_MS : LIVE_MS
  useEffect(() => setEvery(wanted), [wanted])

  const cancel = (): void =>
    void attempt(async () => {
      const isYes = await confirm({
        title: `Cancel the run ${run}?`,
        body: (
          <p>
            {live === 0 ? 'No job of it is left.' : `${counted(live, 'job')} of it will end.`} What it still sends is
            refused. This can’t be undone.
          </p>
        ),
        yes: 'Cancel the run',
      })
      if (!isYes) return
      await call('POST', `${path}/cancel`)
      await loaded.reload()
    })
  const off = data === null ? 'It isn’t known yet.' : data.state === 'canceled' ? 'It is canceled.' : null
  useKey('c', 'cancel the run', cancel, off === null && forbids('operator') === null)
  void tick.value
  const [word, shape] = RUN_STATES[data?.state ?? 'idle']
  return (
    <>
      <Head title={run} of={RUNS}>
        {data !== null && (
          <span class="pill job-state">
            <Mark shape={shape} />
            {word}
          </span>
        )}
        <a class="pill job-tenant" href={hrefOf(`/tenants/${encodeURIComponent(tenant)}`)}>
          {tenant}
        </a>
        <CopyButton isSmall={false} class="job-copy" text={() => location.href}>
          Copy link
        </CopyButton>
        <Button needs="operator" hint="c" off={off} onClick={cancel}>
          Cancel
        </Button>
      </Head>
      {error !== null && error.code !== 'run_not_found' && <Trouble error={error} />}
      {data !== null ? (
        <Known run={data} />
      ) : error === null ? (
        <div class="job-skeleton" role="status" aria-label="Loading the run" />
      ) : (
        error.code === 'run_not_found' && (
          <p class="empty">
            There is no such run of {tenant}. Runs are kept for 30 days after their last job.{' '}
            <a href={hrefOf('/runs')}>All runs</a>
          </p>
        )
      )}
    </>
  )
}

function Known({ run }: { readonly run: RunView }) {
  const { totals, jobs } = run
  return (
    <>
      <div class="job-lead">
        <div class="job-words">
          <h2 class="job-title">{tellRun(run)}</h2>
          {run.canceled_at !== null && (
            <p class="muted">
              Canceled at {clock(run.canceled_at * 1_000, serverNow())}: what it sends since then is refused.
            </p>
          )}
        </div>
        <div class="job-counts">
          <Count value={count(totals.jobs)}>{totals.jobs === 1 ? 'job' : 'jobs'}</Count>
          <Count value={count(totals.total_tokens)}>tokens</Count>
          <Count value={money(totals.usd * 1e9)}>cost</Count>
          <Count value={count(totals.steps)}>{totals.steps === 1 ? 'step' : 'steps'}</Count>
        </div>
      </div>
      <div class="columns job-columns">
        <Budget run={run} />
        <Facts run={run} />
      </div>
      {jobs.length > 0 && <Fall jobs={jobs} of={totals.jobs} nowMs={serverNow()} />}
    </>
  )
}

const plain = (value: number): string => count(value)
const dollars = (value: number): string => money(value * 1e9)

function Budget({ run: { budget, totals, held } }: { readonly run: RunView }) {
  const all = [
    ['Tokens', budget.tokens, totals.total_tokens, plain, held.tokens],
    ['Cost', budget.usd, totals.usd, dollars, held.usd],
    ['Steps', budget.steps, totals.steps, plain, held.steps],
    ['Depth', budget.depth, totals.depth, plain, 0],
  ] as const
  const set = all.filter(([, limit]) => limit !== null)
  return (
    <Panel title="Budget" sub="what all of its jobs may use together">
      {set.length === 0 ? (
        <p class="muted">It has none of its own. The limits of its tenant hold for it.</p>
      ) : (
        <ul class="run-budget">
          {set.map(([name, limit, used, words, held]) => (
            <li key={name}>
              <span>{name}</span>
              <Bullet
                used={used / (limit ?? 1)}
                tone={used >= (limit ?? 0) ? 'warn' : name === 'Cost' ? 'slate' : 'water'}
                label={`${name}: ${words(used)} of ${words(limit ?? 0)}`}
              />
              <span class="run-used">
                {words(used)}
                <span class="muted">
                  {held > 0 && ` and ${words(held)} held`} of {words(limit ?? 0)}
                </span>
              </span>
            </li>
          ))}
        </ul>
      )}
      {totals.is_partial && (
        <p class="muted small">
          It had more jobs than are kept, or added up here. What its budget counts is all of it.
        </p>
      )}
    </Panel>
  )
}

function Facts({ run }: { readonly run: RunView }) {
  const { totals } = run
  const facts = [
    ['Begun', <time title={whole(run.created_at * 1_000)}>{clock(run.created_at * 1_000, serverNow())}</time>],
    ['Tokens in', count(totals.prompt_tokens)],
    ['Tokens out', count(totals.completion_tokens)],
    ['Longest chain', count(totals.depth)],
    ['Loop guard', run.loop_guard ? 'on' : 'off'],
    ...Object.entries(run.metadata),
  ] as const
  return (
    <Panel title="Facts" class="job-facts">
      <dl>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <strong>{value}</strong>
            </dd>
          </div>
        ))}
      </dl>
    </Panel>
  )
}
