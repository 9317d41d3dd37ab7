/** Did my change make it better? Runs and comparisons that `sluice bench` has posted. */
import type { BenchRun } from '../../../../src/bench/run.ts'
import type { Comparison, Verdict } from '../../../../src/core/comparison.ts'
import { age, clock, counted, duration, percent } from '../../format.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { CopyButton } from '../../parts/button.tsx'
import { Head } from '../../parts/head.tsx'
import { Mark, type Shape } from '../../parts/mark.tsx'
import { Panel } from '../../parts/panel.tsx'
import { hrefOf } from '../../router.ts'
import { hello, serverNow } from '../../socket.ts'
import type { PageProps } from '../index.ts'
import { commandsFor } from './commands.ts'
import { ComparisonView } from './comparison.tsx'
import './benchmarks.css'

/** As GET /admin/benchmarks lists them. */
interface Listed {
  readonly id: string
  readonly kind: 'run' | 'comparison'
  readonly at_ms: number
  readonly label: string
  readonly sentence: string | null
  readonly verdict: Verdict | null
}

export const VERDICTS: Readonly<Record<Verdict, readonly [Shape, string]>> = {
  worse: ['warn', 'worse'],
  better: ['well', 'better'],
  mixed: ['warn', 'better and worse'],
  'no-change': ['well', 'no change'],
  'cant-tell': ['waits', 'can’t tell'],
  'not-comparable': ['canceled', 'not comparable'],
}

export const Benchmarks = ({ params }: PageProps) =>
  params['id'] === undefined ? <List /> : <One id={params['id']} key={params['id']} />

/** New ones are posted while one looks. */
const AGAIN_MS = 10_000

function List() {
  const { data, error, isSlow } = useLoad<{ readonly data: readonly Listed[] }>('/admin/benchmarks', AGAIN_MS)
  const rows = data?.data ?? []
  return (
    <>
      <Head title="Benchmarks" />
      {error !== null && <Trouble error={error} />}
      {data !== null && rows.length === 0 && <Empty />}
      {rows.length > 0 && (
        <ul class={`bench-list ${isSlow ? 'is-dim' : ''}`}>
          {rows.map(({ id, kind, at_ms, label, sentence, verdict }) => {
            const [shape, word] =
              verdict === null ? (['bench', 'a run'] as const) : (VERDICTS[verdict] ?? ['bench', verdict])
            return (
              <li key={id}>
                <a href={hrefOf(`/benchmarks/${encodeURIComponent(id)}`)}>
                  <span class="bench-word">
                    <Mark shape={shape} /> {word}
                  </span>
                  <span class="bench-what">
                    <strong>{label}</strong>
                    <span class="muted">{sentence ?? (kind === 'run' ? 'One run; compare it with another.' : '')}</span>
                  </span>
                  <time class="muted" title={clock(at_ms, serverNow())}>
                    {age(at_ms, serverNow())}
                  </time>
                </a>
              </li>
            )
          })}
        </ul>
      )}
    </>
  )
}

function Empty() {
  const target = hello.value?.publicUrl ?? `${location.protocol}//${location.hostname}:4100`
  const commands = commandsFor(target, location.origin, hello.value?.models[0] ?? 'demo')
  return (
    <section class="bench-empty">
      <h2>Nothing was measured yet.</h2>
      <p class="muted">
        Measure before and after a change; the comparison tells what changed, by how much, and where it went. It comes
        here by <code>--post</code>. A run takes about seven minutes; the key is one of a tenant of this server.
      </p>
      {commands.map((command) => (
        <div key={command} class="bench-command">
          <pre class="code" tabIndex={0}>
            {command}
          </pre>
          <CopyButton text={command} />
        </div>
      ))}
    </section>
  )
}

function One({ id }: { readonly id: string }) {
  const { data, error } = useLoad<Comparison | PostedRun>(`/admin/benchmarks/${encodeURIComponent(id)}`)
  const of = { title: 'Benchmarks', to: hrefOf('/benchmarks') }
  if (error !== null && data === null)
    return (
      <>
        <Head title={id} of={of} />
        <Trouble error={error} />
      </>
    )
  if (data === null) return <Head title={id} of={of} />
  if (!isReadable(data))
    return (
      <>
        <Head title={id} of={of} />
        <p class="empty">It was posted in a form that this dashboard doesn’t know: by another version of the bench.</p>
      </>
    )
  return data.kind === 'comparison' ? <ComparisonView comparison={data} of={of} /> : <RunView run={data} of={of} />
}

interface Spread {
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
}

/** What `--post` sends beside the run itself. */
interface Measured {
  readonly ttft: Spread
  readonly tpot: Spread
  readonly e2e: Spread
  readonly errorShare: number
  readonly tokensPerSecond: number | null
}
type PostedRun = BenchRun & { readonly summary?: Measured }

const isMeasured = (summary: Measured | undefined): summary is Measured =>
  summary != null && [summary.ttft, summary.tpot, summary.e2e].every((one) => typeof one === 'object' && one !== null)

function Figures({ summary }: { readonly summary: Measured }) {
  const rows = [
    ['Time to first token', summary.ttft],
    ['Time per output token', summary.tpot],
    ['The whole answer', summary.e2e],
  ] as const
  const speed = summary.tokensPerSecond === null ? '' : `, ${Math.round(summary.tokensPerSecond)} tokens a second`
  return (
    <Panel title="What it measured" right={`${percent(summary.errorShare)} failed${speed}`}>
      <table class="table">
        <thead>
          <tr>
            <th>
              <span class="for-readers">measure</span>
            </th>
            {['p50', 'p95', 'p99'].map((name) => (
              <th key={name} class={name === 'p95' ? 'right from-phone' : 'right'}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, { p50, p95, p99 }]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {[p50, p95, p99].map((ms, i) => (
                <td key={i} class={i === 1 ? 'right from-phone' : 'right'}>
                  {duration(ms)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  )
}

const isList = (value: unknown): boolean =>
  Array.isArray(value) && value.every((one) => typeof one === 'object' && one !== null)

/** What the views read; whoever may post may post anything. */
function isReadable(data: Comparison | PostedRun): boolean {
  if (data.kind !== 'comparison') return isList(data.rounds) && isList(data.validity?.checks) && data.options != null
  const { before, after, effects, attributions, checks, method, details } = data
  return (
    [effects, attributions, checks].every(isList) && Array.isArray(details) && ![before, after, method].includes(null!)
  )
}

/** One run has no verdict: whether it counts, and its rounds. */
function RunView({
  run,
  of,
}: {
  readonly run: PostedRun
  readonly of: { readonly title: string; readonly to: string }
}) {
  const { validity, options, rounds, saturation, client } = run
  const sent = rounds.reduce((sum, { requests }) => sum + requests, 0)
  return (
    <>
      <Head title={run.label} of={of} />
      <section class="verdict">
        <h2>
          {validity.isValid
            ? `${counted(sent, 'request')} in ${counted(rounds.length, 'round')}: this run counts.`
            : 'This run does not count.'}
        </h2>
        <p class="muted">
          {options.workload}, {options.model}, {options.target}. {run.brokenOff}
          {saturation !== null && ` Saturated above ${saturation.rate} a second: ${saturation.why}.`}
        </p>
      </section>
      <div class="columns bench-columns">
        {isMeasured(run.summary) && <Figures summary={run.summary} />}
        <Panel title="Round by round" right="as sent">
          <div class="scroller" tabIndex={0} role="region" aria-label="Rounds">
            <table class="table">
              <thead>
                <tr>
                  <th>round</th>
                  <th class="right from-phone">requests</th>
                  <th class="right">answered</th>
                  <th class="right from-phone">a second</th>
                  <th class="right">client lag p99</th>
                </tr>
              </thead>
              <tbody>
                {rounds.map(({ round, requests, ok, sentRate, lagP99Ms }) => (
                  <tr key={round}>
                    <td>{round + 1}</td>
                    <td class="right from-phone">{requests}</td>
                    <td class="right">{percent(requests === 0 ? null : ok / requests)}</td>
                    <td class="right from-phone">{sentRate.toFixed(1)}</td>
                    <td class="right">{duration(lagP99Ms)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Panel>
        <Panel title="Does it count?" right={client === null ? 'client not measured' : undefined}>
          <ul class="checks">
            {validity.checks.map(({ name, isMet, decides, text }) => (
              <li key={name}>
                <Mark
                  shape={isMet ? 'well' : decides ? 'bad' : 'warn'}
                  label={isMet ? 'met' : decides ? 'not met' : 'a remark'}
                />
                <span>{text}</span>
              </li>
            ))}
          </ul>
        </Panel>
      </div>
    </>
  )
}
