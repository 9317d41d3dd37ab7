import { useEffect, useState } from 'preact/hooks'
import type { ErrorText, JobTrace, RecordGroup, RequestText } from '../../../../src/core/live.ts'
import { call, get } from '../../api.ts'
import { count, counted, duration } from '../../format.ts'
import { useKey } from '../../keys.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { Button, CopyButton } from '../../parts/button.tsx'
import { confirm } from '../../parts/dialog.tsx'
import { Count } from '../../parts/figure.tsx'
import { Head } from '../../parts/head.tsx'
import { Mark } from '../../parts/mark.tsx'
import { Panel } from '../../parts/panel.tsx'
import { attempt, toast } from '../../parts/toast.tsx'
import { go, hrefOf } from '../../router.ts'
import { forbids } from '../../session.ts'
import { hello, liveError, serverNow, tick, trace as told } from '../../socket.ts'
import type { PageProps } from '../index.ts'
import { canRunAgain, hasEnded, STATES, shortId } from '../jobs/rows.ts'
import { runPath } from '../run/tree.ts'
import { Answer } from './answer.tsx'
import { curlOf } from './curl.ts'
import './job.css'
import { Routing } from './routing.tsx'
import { tell } from './sentence.ts'
import { Waterfall } from './waterfall.tsx'

const JOBS = { title: 'Jobs', to: '/jobs' }

export function Job({ params }: PageProps) {
  const { job } = params
  const trace = told.value
  const error = liveError.value
  if (trace !== null && trace.row.job === job) return <Known key={job} trace={trace} />
  return (
    <>
      <Head title={shortId(job)} of={JOBS} />
      {error === null ? (
        <div class="job-skeleton" role="status" aria-label="Loading the job" />
      ) : (
        <Gone code={error.code} message={error.message} job={job} />
      )}
    </>
  )
}

/** Not found, erased, gone by retention: a sentence, and the way on. */
const Gone = ({ code, message, job }: { readonly code: string; readonly message: string; readonly job: string }) => (
  <div class="empty">
    <h2 class="job-title">
      {code === 'job_gone' ? 'This job was erased.' : code === 'job_not_found' ? 'There is no such job.' : message}
    </h2>
    <p>
      {code === 'job_not_found'
        ? 'It was never accepted here, or is gone: jobs that have ended are kept for as long as `retention` says.'
        : code === 'job_gone'
          ? 'Its text and its log are gone for good; what it cost stays in the tenant’s usage.'
          : 'Sluice could not tell of it.'}{' '}
      <a href={hrefOf('/jobs')}>All jobs</a>
    </p>
    <p class="faint mono">{job}</p>
  </div>
)

function Known({ trace }: { readonly trace: JobTrace }) {
  const { row, counts } = trace
  const isOver = hasEnded(row)
  void tick.value
  const nowMs = serverNow()
  const { title, detail } = tell(trace, nowMs)
  const [ended, setEnded] = useState('')
  useEffect(() => {
    if (isOver) setEnded(title)
  }, [isOver, title])

  const cancel = (): void =>
    void attempt(async () => {
      const isYes = await confirm({
        title: `Cancel ${shortId(row.job)}?`,
        body: (
          <p>
            {row.state === 'leased' ? 'It runs: its text so far stays.' : 'It loses its place in line.'} This can’t be
            undone.
          </p>
        ),
        yes: 'Cancel the job',
      })
      if (!isYes) return
      await call('POST', `/admin/jobs/${encodeURIComponent(row.job)}/cancel`)
    })
  const again = (): void =>
    void attempt(async () => {
      const { id } = await call<{ id: string }>('POST', `/admin/jobs/${encodeURIComponent(row.job)}/redrive`)
      toast(`It runs again, as ${shortId(id)}.`)
      go(`/jobs/${encodeURIComponent(id)}`)
    })
  const noCancel = isOver ? 'It has ended.' : null
  const noAgain = canRunAgain(row)
    ? null
    : isOver
      ? 'Only a failed or expired job can be run again.'
      : 'It hasn’t ended.'
  useKey('c', 'cancel the job', cancel, noCancel === null && forbids('operator') === null)
  useKey('r', 'run the job again', again, noAgain === null && forbids('operator') === null)
  const none = counts.stored === 0 && !isOver
  return (
    <>
      <Head title={shortId(row.job)} of={JOBS}>
        <span class="pill job-state">
          <Mark shape={STATES[row.state].shape} />
          {STATES[row.state].word}
        </span>
        <a class="pill job-tenant" href={hrefOf(`/tenants/${encodeURIComponent(row.tenant)}`)}>
          {row.tenant} · {row.model}
        </a>
        <CopyButton isSmall={false} class="job-copy" text={() => location.href}>
          Copy link
        </CopyButton>
        <CurlButton job={row.job} />
        {!isOver ? (
          <Button needs="operator" hint="c" onClick={cancel}>
            Cancel
          </Button>
        ) : (
          <Button needs="operator" hint="r" off={noAgain} onClick={again}>
            Run again
          </Button>
        )}
      </Head>
      <div class="job-lead">
        <div class="job-words">
          <h2 class="job-title">{title}</h2>
          {detail !== '' && <p class="muted">{detail}</p>}
        </div>
        <div class="job-counts">
          <Count value={none ? '–' : count(counts.stored)}>tokens stored</Count>
          <Count value={count(counts.shown)}>shown</Count>
          <Count value={count(counts.lost)} tone={toneOf(counts.lost)}>
            lost
          </Count>
          <Count value={count(counts.shownTwice)} tone={toneOf(counts.shownTwice)}>
            shown twice
          </Count>
        </div>
      </div>
      <p class="for-readers" aria-live="polite">
        {ended}
      </p>
      <Waterfall trace={trace} nowMs={nowMs} />
      <div class="columns job-columns">
        <Answer trace={trace} />
        <Facts trace={trace} />
        <Records trace={trace} />
        <Routing trace={trace} />
        {row.error !== null && row.state === 'failed' && <OwnWords trace={trace} />}
        <Request job={row.job} />
      </div>
    </>
  )
}

const toneOf = (value: number | null): string => (value === null ? 'muted' : value === 0 ? 'water' : 'bad')

const noText = (): string | null =>
  hello.value?.text === 'never' ? 'Texts are not shown here (dashboard.text: never).' : forbids('operator')

const pathOf = (job: string, part: 'request' | 'answer' | 'error'): string =>
  `/admin/jobs/${encodeURIComponent(job)}/text?part=${part}`

/** The request is a text: to copy it is to look at it. */
function CurlButton({ job }: { readonly job: string }) {
  return (
    <Button
      class="job-copy"
      off={noText()}
      onClick={() =>
        void attempt(async () => {
          const text = await get<RequestText>(pathOf(job, 'request'))
          await navigator.clipboard.writeText(curlOf(text, hello.value?.publicUrl ?? null))
          toast(
            text.isCut
              ? 'Copied, but the request is too long to be whole.'
              : 'Copied, with $SLUICE_API_KEY for the key.',
          )
        })
      }
    >
      Copy as curl
    </Button>
  )
}

function Facts({ trace }: { readonly trace: JobTrace }) {
  const { facts, row } = trace
  const names = new Set(facts.map(({ name }) => name))
  return (
    <Panel title="Facts" class="job-facts">
      <dl>
        {inOrder(facts).map(({ name, value, of }) => {
          const isPart = of !== undefined && names.has(of)
          return (
            <div key={`${name} ${of}`} class={isPart ? 'is-part' : ''}>
              <dt>{name}</dt>
              <dd>
                <strong
                  class={/^(?:Trace|Conversation|Lane|Key|Id|Run|Parent|After|Repeats)$/.test(name) ? 'mono' : ''}
                >
                  {name === 'Run' ? <a href={hrefOf(runPath(row.tenant, value))}>{value}</a> : <Linked text={value} />}
                </strong>
                {of !== undefined && !isPart && <span class="muted"> {of}</span>}
              </dd>
            </div>
          )
        })}
        {facts.length === 0 && (
          <div>
            <dt>Total</dt>
            <dd>{duration(row.totalMs)}</dd>
          </div>
        )}
        <div>
          <dt>Job</dt>
          <dd class="job-full">
            <code>{row.job}</code>
          </dd>
        </div>
      </dl>
    </Panel>
  )
}

/** Ids of jobs as links to them. */
function Linked({ text }: { readonly text: string }) {
  return text.split(/\b(job_[0-9a-z]{26})\b/).map((part, n) =>
    n % 2 === 0 ? (
      part
    ) : (
      <a key={part} href={hrefOf(`/jobs/${part}`)} title={part}>
        {shortId(part)}
      </a>
    ),
  )
}

/** A part stands under what it is part of. */
function inOrder(facts: JobTrace['facts']): JobTrace['facts'] {
  const names = new Set(facts.map(({ name }) => name))
  const isPart = ({ of }: { readonly of?: string }): boolean => of !== undefined && names.has(of)
  return facts.filter((fact) => !isPart(fact)).flatMap((fact) => [fact, ...facts.filter(({ of }) => of === fact.name)])
}

/** What the log holds, without its text. */
function Records({ trace }: { readonly trace: JobTrace }) {
  const { row } = trace
  const records = useLoad<{ cursor: string; data: readonly RecordGroup[] }>(
    `/admin/jobs/${encodeURIComponent(row.job)}/records`,
  )
  // Live ones are read again when an attempt begins, and at the end
  const stage = `${row.state} ${row.attempts}`
  useEffect(() => void records.reload(), [stage])
  const groups = records.data?.data ?? []
  return (
    <Panel
      title="Records"
      sub="what the log holds, grouped"
      right={
        records.data === null ? undefined : (
          <>
            cursor <code>{records.data.cursor}</code>
          </>
        )
      }
      class="job-records"
    >
      {records.error !== null && <Trouble error={records.error} />}
      {groups.length > 0 && (
        <table class="table" aria-label="Records of the log">
          <thead class="for-readers">
            <tr>
              <th>Numbers</th>
              <th>Kind</th>
              <th>What</th>
              <th>When</th>
            </tr>
          </thead>
          <tbody>
            {groups.map((group) => (
              <tr key={group.fromSeq}>
                <td>
                  {group.fromSeq === group.toSeq
                    ? count(group.fromSeq)
                    : `${count(group.fromSeq)}–${count(group.toSeq)}`}
                </td>
                <td>
                  <strong>
                    {group.type}
                    {group.toSeq > group.fromSeq && ` × ${count(group.toSeq - group.fromSeq + 1)}`}
                  </strong>
                </td>
                <td class="wide muted">{group.note}</td>
                <td class="right">{whenOf(group, trace)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  )
}

/** Records have no times of their own: those of their attempt. */
function whenOf({ type, attempt: number }: RecordGroup, { attempts, row }: JobTrace): string {
  if (type === 'end') return row.totalMs === null ? '' : duration(row.totalMs)
  const spans = attempts.find(({ attempt }) => attempt === number)?.spans
  if (spans === undefined || spans.length === 0) return ''
  if (type === 'attempt') return duration(spans[0].fromMs)
  const made = spans.find(({ part }) => part === 'tokens')
  if (made === undefined) return ''
  return made.toMs === null ? `from ${duration(made.fromMs)}` : `${duration(made.fromMs)} to ${duration(made.toMs)}`
}

/** What the provider said may quote the request, so it is a text like it. */
function OwnWords({ trace: { row } }: { readonly trace: JobTrace }) {
  const [isAsked, setAsked] = useState(false)
  const text = useLoad<ErrorText>(isAsked ? pathOf(row.job, 'error') : null)
  return (
    <Panel
      title="Error"
      right={
        text.data === null && (
          <Button isSmall off={noText()} isBusy={isAsked && text.error === null} onClick={() => setAsked(true)}>
            Show text
          </Button>
        )
      }
    >
      {text.error !== null && <Trouble error={text.error} />}
      <p class={text.data === null ? 'muted' : ''}>{text.data?.error?.message ?? row.error?.message}</p>
      <p class="muted small">
        <code>{row.error?.code}</code>
      </p>
    </Panel>
  )
}

/** Text on click; the look is recorded. */
function Request({ job }: { readonly job: string }) {
  const [isAsked, setAsked] = useState(false)
  const text = useLoad<RequestText>(isAsked ? pathOf(job, 'request') : null)
  return (
    <Panel
      title="Request"
      class="job-request"
      right={
        text.data === null ? (
          <Button isSmall off={noText()} isBusy={isAsked && text.error === null} onClick={() => setAsked(true)}>
            Show text
          </Button>
        ) : (
          <CopyButton text={text.data.request} />
        )
      }
    >
      {text.error !== null && <Trouble error={text.error} />}
      {text.data === null ? (
        <p class="muted">
          {hello.value?.text === 'never'
            ? 'Texts are not shown here: `dashboard.text` is `never`.'
            : 'Text stays hidden until asked for. Each look is written to Changes.'}
        </p>
      ) : (
        <>
          <p class="muted small">
            To <code>{text.data.endpoint}</code>
            {text.data.isCut && `, its first ${counted(text.data.request.length, 'character')}`}
          </p>
          <pre class="code job-json">{pretty(text.data.request)}</pre>
        </>
      )}
    </Panel>
  )
}

function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2)
  } catch {
    return json
  }
}
