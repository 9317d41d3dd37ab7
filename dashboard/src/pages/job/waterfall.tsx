/** Where the time went: all rows on one axis, which always fits; under them, what was stored and what was shown. */
import type { ComponentChildren } from 'preact'
import type { AttemptSpan, JobTrace, Span } from '../../../../src/core/live.ts'
import { clock, count, counted, duration, whole } from '../../format.ts'
import { Panel, Swatch } from '../../parts/panel.tsx'
import { type Axis, axisOf, type Cut, cutsOf, pathOf, percentOf, shareOf, stepped } from './axis.ts'

const TONES: Readonly<Record<Span['part'], string>> = {
  admission: 'slate',
  routing: 'slate',
  turn: 'unknown',
  queue: 'sand',
  connect: 'plum',
  upstream: 'blue',
  tokens: 'water',
  pause: 'pause',
  unknown: 'unknown',
}
const WORDS: Readonly<Record<Span['part'], string>> = {
  admission: 'admission',
  routing: 'routing',
  turn: 'until its own turn',
  queue: 'queue',
  connect: 'connect',
  upstream: 'upstream wait',
  tokens: 'tokens',
  pause: 'pause before it',
  unknown: 'not known',
}
/** A bar that is at least so long has room for words. */
const ROOMY = 0.17

export function Waterfall({ trace, nowMs }: { readonly trace: JobTrace; readonly nowMs: number }) {
  const axis = axisOf(trace, nowMs)
  const { row, spans, attempts, readers } = trace
  const cuts = cutsOf(trace, axis.endMs)
  const of = (...parts: readonly Span['part'][]) => (spans ?? []).filter(({ part }) => parts.includes(part))
  const own = of('admission', 'routing')
  const turn = of('turn')
  const queue = of('queue')
  const isKnown = spans !== null || attempts.length > 0
  return (
    <Panel
      title="Where the time went"
      sub={
        <time title={whole(row.acceptedAtMs)}>
          from accepted, {clock(row.acceptedAtMs)}.{String(Math.floor(row.acceptedAtMs) % 1_000).padStart(3, '0')}
        </time>
      }
      right={
        <span class="fall-legend">
          <Swatch of="sand">queue</Swatch>
          <Swatch of="plum">connect</Swatch>
          <Swatch of="blue">upstream wait</Swatch>
          <Swatch of="water">tokens</Swatch>
          <Swatch of="slate">Sluice</Swatch>
        </span>
      }
    >
      {isKnown ? (
        <div class="fall">
          <Over axis={axis} cuts={cuts} />
          {own.length > 0 && (
            <Row
              name="Sluice"
              note={own.some(({ part }) => part === 'routing') ? 'admission, routing' : 'admission'}
              value={sum(own, axis)}
            >
              <Bars spans={own} axis={axis} />
            </Row>
          )}
          {turn.length > 0 && (
            <Row name="Own turn" note="its delay, or jobs before it" value={sum(turn, axis)}>
              <Bars spans={turn} axis={axis} />
            </Row>
          )}
          {queue.length > 0 && (
            <Row name="Queue" note={row.waitsFor ?? ''} value={sum(queue, axis)}>
              <Bars spans={queue} axis={axis} />
            </Row>
          )}
          {attempts.map((attempt) => (
            <Row
              key={attempt.attempt}
              name={`Attempt ${attempt.attempt}`}
              note={attempt.deployment === '' ? 'not known any more' : `${attempt.deployment}${GOES[attempt.mode]}`}
              value={counted(attempt.tokens, 'token')}
            >
              <Attempt attempt={attempt} axis={axis} />
            </Row>
          ))}
          <Readers trace={trace} axis={axis} cuts={cuts} />
          {trace.stored.length > 1 && <Curves trace={trace} axis={axis} cuts={cuts} />}
          {readers.length === 0 && (
            <p class="fall-note muted small">
              {attempts.length === 0 && row.attempts > 0
                ? 'Who read it, and its attempts, are not known any more: that is kept in memory. Its answer is stored.'
                : 'No stream of it was read. Its answer is stored, and given whole to whoever waits for it.'}
            </p>
          )}
        </div>
      ) : (
        <p class="empty">
          Its marks are gone: they are kept in memory for the last 2,000 jobs. The facts below are stored with the job.
        </p>
      )}
    </Panel>
  )
}

const GOES: Readonly<Record<AttemptSpan['mode'], string>> = { first: '', continue: ', goes on', restart: ', anew' }

const sum = (spans: readonly Span[], { endMs }: Axis): string =>
  duration(spans.reduce((total, { fromMs, toMs }) => total + (toMs ?? endMs) - fromMs, 0))

function Row(props: {
  readonly name: string
  readonly note: string
  readonly value: string
  readonly children: ComponentChildren
}) {
  return (
    <div class="fall-row">
      <span class="fall-name">
        <strong>{props.name}</strong>
        <span class="muted">{props.note}</span>
      </span>
      <span class="fall-track">{props.children}</span>
      <span class="fall-value">{props.value}</span>
    </div>
  )
}

/** Ticks, their lines, and a band for each cut, through all rows. */
export const Over = ({ axis, cuts }: { readonly axis: Axis; readonly cuts: readonly Cut[] }) => (
  <div class="fall-over" aria-hidden="true">
    {axis.ticks.map((ms, at) => (
      <i key={ms} class={`fall-tick ${at % 2 === 1 ? 'is-odd' : ''}`} style={{ '--x': percentOf(shareOf(ms, axis)) }}>
        <span>{tickOf(ms, axis)}</span>
      </i>
    ))}
    {cuts.map(({ fromMs, toMs }) => (
      <i
        key={fromMs}
        class="fall-band"
        style={{
          '--x': percentOf(shareOf(fromMs, axis)),
          '--w': percentOf(shareOf(toMs ?? axis.endMs, axis) - shareOf(fromMs, axis)),
        }}
      />
    ))}
  </div>
)

function tickOf(ms: number, { endMs }: Axis): string {
  if (ms === 0) return endMs < 2_000 ? '0 ms' : endMs < 120_000 ? '0 s' : '0 min'
  if (endMs < 2_000) return String(ms)
  const value = endMs < 120_000 ? ms / 1_000 : ms / 60_000
  return String(Math.round(value * 100) / 100)
}

export function Bars({ spans, axis }: { readonly spans: readonly Span[]; readonly axis: Axis }) {
  return (
    <>
      {spans.map(({ part, fromMs, toMs }) => (
        <i
          key={`${part} ${fromMs}`}
          class={`fall-bar fall-${TONES[part]} ${toMs === null ? 'is-open' : ''}`}
          role="img"
          aria-label={`${WORDS[part]}: ${duration((toMs ?? axis.endMs) - fromMs)}, from ${duration(fromMs)} on`}
          title={`${WORDS[part]} · ${duration((toMs ?? axis.endMs) - fromMs)}`}
          style={{
            '--x': percentOf(shareOf(fromMs, axis)),
            '--w': percentOf(shareOf(toMs ?? axis.endMs, axis) - shareOf(fromMs, axis)),
          }}
        />
      ))}
    </>
  )
}

function Attempt({ attempt, axis }: { readonly attempt: AttemptSpan; readonly axis: Axis }) {
  const { spans, tokens, error } = attempt
  const made = spans.find(({ part }) => part === 'tokens')
  // A pause between two tokens is a part of their pace; one that nothing came after is not
  const last = spans.findLast(({ part }) => part === 'tokens')
  const tookMs = made === undefined ? 0 : (last?.toMs ?? axis.endMs) - made.fromMs
  const share = made === undefined ? 0 : tookMs / axis.endMs
  const end = shareOf(spans.at(-1)?.toMs ?? axis.endMs, axis)
  return (
    <>
      <Bars spans={spans} axis={axis} />
      {made !== undefined && tokens > 1 && share > ROOMY && (
        <span
          class={`fall-pace ${share < 2 * ROOMY ? 'is-tight' : ''}`}
          style={{ '--x': percentOf(shareOf(made.fromMs, axis) + share / 2) }}
        >
          {duration(tookMs / (tokens - 1))} a token
        </span>
      )}
      {error !== null && (
        <span
          class={`fall-error ${end > 0.62 ? 'is-left' : ''}`}
          style={{ '--x': percentOf(end), '--r': percentOf(1 - end) }}
        >
          <i aria-hidden="true" />
          {error}
        </span>
      )}
    </>
  )
}

/** Solid while somebody reads, dotted where nobody did. */
function Readers({
  trace,
  axis,
  cuts,
}: {
  readonly trace: JobTrace
  readonly axis: Axis
  readonly cuts: readonly Cut[]
}) {
  const { readers } = trace
  if (readers.length === 0) return null
  const kinds = [...new Set(readers.map(({ by }) => by))].join(', ')
  return (
    <Row name="Reader" note={kinds} value={counted(readers.length, 'visit')}>
      {cuts.map(({ fromMs, toMs }) => (
        <i
          key={`cut ${fromMs}`}
          class="fall-gap"
          role="img"
          aria-label={`cut for ${toMs === null ? 'good so far' : duration(toMs - fromMs)}`}
          style={{
            '--x': percentOf(shareOf(fromMs, axis)),
            '--w': percentOf(shareOf(toMs ?? axis.endMs, axis) - shareOf(fromMs, axis)),
          }}
        />
      ))}
      {readers.map(({ by, fromMs, toMs, complete }) => (
        <i
          key={`${by} ${fromMs}`}
          class="fall-reader"
          role="img"
          aria-label={
            `${by}, from ${duration(fromMs)} ` + `to ${duration(toMs ?? axis.endMs)}${complete ? ', to the end' : ''}`
          }
          style={{
            '--x': percentOf(shareOf(fromMs, axis)),
            '--w': percentOf(shareOf(toMs ?? axis.endMs, axis) - shareOf(fromMs, axis)),
          }}
        />
      ))}
    </Row>
  )
}

/** Two curves on the same axis: where the reader was away they part, and meet again. */
function Curves({
  trace,
  axis,
  cuts,
}: {
  readonly trace: JobTrace
  readonly axis: Axis
  readonly cuts: readonly Cut[]
}) {
  const { stored, shown, row } = trace
  const most = Math.max(1, stored.at(-1)?.[1] ?? 0)
  const storedPath = pathOf(stored, axis, most)
  const shownPath = pathOf(shown.length > 1 ? stepped(trace, cuts) : shown, axis, most)
  const left = (shareOf(stored[0][0], axis) * 1000).toFixed(2)
  const right = (shareOf(stored.at(-1)?.[0] ?? 0, axis) * 1000).toFixed(2)
  const last = shown.at(-1)
  const isBack = cuts.length > 0 && cuts.every(({ toMs }) => toMs !== null)
  const isMet = isBack && last !== undefined && row.totalMs !== null && last[1] >= most
  return (
    <div class="fall-row fall-curves">
      <span class="fall-name">
        <strong>Tokens</strong>
        <span class="fall-keys muted">
          <span class="key-stored">stored</span>
          <span class="key-shown">shown</span>
        </span>
        <span class="fall-scale" aria-hidden="true">
          <span>{count(most)}</span>
          <span>{count(Math.round(most / 2))}</span>
          <span>0</span>
        </span>
      </span>
      <span
        class="fall-track"
        role="img"
        aria-label={
          `${counted(most, 'token')} stored, ${last === undefined ? 'none' : count(last[1])} shown ` +
          `over ${duration(axis.endMs)}`
        }
      >
        <svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">
          <polygon class="curve-fill" points={`${left},100 ${storedPath} ${right},100`} />
          {shown.length > 1 && <polygon class="curve-apart" points={`${storedPath} ${back(shownPath)}`} />}
          <polyline class="curve-stored" points={storedPath} />
          {shown.length > 1 && <polyline class="curve-shown" points={shownPath} />}
        </svg>
        {cuts.map((cut) => (
          <CutWords key={cut.fromMs} cut={cut} axis={axis} most={most} />
        ))}
        {isMet && <i class="curve-met" style={{ '--x': percentOf(shareOf(last[0], axis)) }} />}
      </span>
      <span class="fall-value">{isMet && <strong>met again</strong>}</span>
    </div>
  )
}

const back = (path: string): string => path.split(' ').reverse().join(' ')

function CutWords({ cut, axis, most }: { readonly cut: Cut; readonly axis: Axis; readonly most: number }) {
  const { fromMs, toMs, atToken, tokens } = cut
  const from = shareOf(fromMs, axis)
  const middle = (from + shareOf(toMs ?? axis.endMs, axis)) / 2
  return (
    <>
      {tokens > 0 && (
        <span
          class={`cut-words ${from < 0.32 ? 'is-right' : from < 0.5 ? 'is-near' : ''}`}
          style={{
            '--x': percentOf(from < 0.32 ? shareOf(toMs ?? axis.endMs, axis) : from),
            '--r': percentOf(1 - from),
            '--b': percentOf(shareOf(toMs ?? axis.endMs, axis)),
            '--y': percentOf(Math.min(0.7, Math.max(0.02, 1 - atToken / most - 0.24))),
          }}
        >
          <strong>{counted(tokens, 'token')} wait in the log,</strong>
          <span>{toMs === null ? 'until it comes back' : 'then come in one write'}</span>
        </span>
      )}
      <span class="cut-time" style={{ '--x': percentOf(Math.min(0.94, Math.max(0.06, middle))) }}>
        ✂ {toMs === null ? `cut for ${duration(axis.endMs - fromMs)}` : `${duration(toMs - fromMs)} cut`}
      </span>
    </>
  )
}
