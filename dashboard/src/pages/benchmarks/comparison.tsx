/** Verdict first; then by how much, round by round, where it went, and whether they may be compared at all. */
import type { Attribution, Check, Comparison, Effect } from '../../../../src/core/comparison.ts'
import { duration } from '../../format.ts'
import { CopyButton } from '../../parts/button.tsx'
import { Head } from '../../parts/head.tsx'
import { Mark, type Shape } from '../../parts/mark.tsx'
import { Panel } from '../../parts/panel.tsx'
import { amountOf, PARTS, placeOf, relative, rose, type Scale, scaleOf, signed } from './scale.ts'

interface Props {
  readonly comparison: Comparison
  readonly of: { readonly title: string; readonly to: string }
}

export function ComparisonView({ comparison, of }: Props) {
  const { before, after, sentence, details, effects, attributions, checks, method, cause, next, verdict } = comparison
  const headline = effects[0]
  const isCompared = verdict !== 'not-comparable'
  const difference = checks.filter(({ state }) => state === 'differs')
  return (
    <>
      <Head title={`${after.label} against ${before.label}`} of={of}>
        <CopyButton isSmall={false} text={() => markdown(comparison)}>
          Copy as Markdown
        </CopyButton>
      </Head>
      <section class="verdict">
        <h2>{sentence}</h2>
        <p class="muted">{isCompared ? story(details, cause, next) : difference.map(reason).join(' ')}</p>
      </section>
      <div class="columns bench-columns">
        {isCompared && headline !== undefined && <Effects effects={effects} method={method} />}
        {isCompared && headline !== undefined && (
          <Slopes effect={headline} isPaired={method.test === 'paired'} labels={[before.label, after.label]} />
        )}
        {isCompared && attributions.map((one) => <Where key={one.of} attribution={one} />)}
        <Checks checks={checks} />
      </div>
    </>
  )
}

const story = (details: readonly string[], cause: string | null, next: string | null): string =>
  [...details, cause === null ? '' : `Likely cause: ${cause}.`, next === null ? '' : `Next: ${next}`]
    .filter((text) => text !== '')
    .join(' ')

const reason = ({ title, text }: Check): string => `${title}: ${text}.`

const share = (at: number): string => `${(at * 100).toFixed(2)}%`
const WORDS: Readonly<Record<Effect['outcome'], readonly [Shape | null, string]>> = {
  worse: ['warn', 'worse'],
  better: ['well', 'better'],
  'no-change': [null, '= no change'],
  'cant-tell': [null, '? can’t tell'],
}

const BESIDE: (typeof WORDS)['worse'] = [null, 'beside the verdict']

function Effects({ effects, method }: { readonly effects: readonly Effect[]; readonly method: Comparison['method'] }) {
  const scale = scaleOf(effects, method.margin)
  const at = (value: number): string => share(placeOf(value, scale))
  return (
    <Panel
      title="What changed, and by how much"
      right={`Holm-adjusted, ${Math.round(method.confidence * 100)}% intervals`}
      class="effects-panel"
    >
      <table
        class="effects"
        style={{ '--zero': at(0), '--band-low': at(-method.margin), '--band-high': at(method.margin) }}
      >
        <thead>
          <tr class="effect effect-head">
            <th scope="col">
              <span class="for-readers">measure</span>
            </th>
            <th scope="col">before</th>
            <th scope="col">after</th>
            <th scope="col" class="effect-plot">
              <span class="for-readers">change</span>
              <i class="effect-tick" style={{ '--at': at(0) }}>
                same
              </i>
              {scale.ticks.map((tick) => (
                <i key={tick} class="effect-tick" style={{ '--at': at(tick) }}>
                  {signed(tick, (size) => `${Math.round(size * 100)}%`)}
                </i>
              ))}
            </th>
            <th scope="col">
              <span class="for-readers">outcome</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {effects.map((effect) => (
            <EffectRow key={effect.metric} effect={effect} scale={scale} margin={method.margin} />
          ))}
        </tbody>
      </table>
      <p class="effects-note muted small">
        Grey band: within {Math.round(method.margin * 100)}%, counts as no change.{' '}
        {method.note ?? `${method.rounds} paired rounds of ${method.requestsPerRound} requests.`}
      </p>
    </Panel>
  )
}

function EffectRow({ effect, scale, margin }: { effect: Effect; scale: Scale; margin: number }) {
  const { name, unit, before, after, shift, low, high, outcome } = effect
  // What is no headline decides nothing: it is told without a verdict
  const [shape, word] = effect.adjustedP === null ? BESIDE : WORDS[outcome]
  const at = (value: number): string => share(placeOf(relative(effect, value, margin), scale))
  const words = (value: number): string => amountOf(value, unit)
  const interval =
    low === null || high === null ? 'any size is possible' : `${signed(low, words)} to ${signed(high, words)}`
  return (
    <tr
      class={`effect effect-${effect.adjustedP === null ? 'beside' : outcome}`}
      title={`${signed(shift, words)}; ${interval}`}
    >
      <th scope="row">{name}</th>
      <td>{words(before)}</td>
      <td>{words(after)}</td>
      <td class="effect-plot">
        <span class="for-readers">
          {signed(shift, words)}, {interval}
        </span>
        <i
          class={`effect-bar ${low === null || high === null ? 'is-open' : ''}`}
          style={{ '--low': low === null ? '0%' : at(low), '--high': high === null ? '100%' : at(high) }}
        />
        <i class="effect-dot" style={{ '--at': at(shift) }} />
      </td>
      <td class="effect-word">
        {shape !== null && <Mark shape={shape} size={9} />} {word}
      </td>
    </tr>
  )
}

/** Each line is one round, before to after. */
function Slopes({ effect, isPaired, labels }: { effect: Effect; isPaired: boolean; labels: [string, string] }) {
  const { rounds, unit, name, outcome } = effect
  const top = Math.max(...rounds.before, ...rounds.after, Number.MIN_VALUE) * 1.15
  const y = (value: number): number => 100 - (value / top) * 100
  const said = rose(rounds, isPaired)
  const pairs = rounds.before.flatMap((value, at) => {
    const then = rounds.after[at]
    return then === undefined ? [] : [[value, then] as const]
  })
  const ends = `${labels[0]} ${amountOf(effect.before, unit)}, ${labels[1]} ${amountOf(effect.after, unit)}`
  const label = `${name} of each round: ${ends}${said === null ? '' : `; ${said}`}.`
  return (
    <Panel title="Round by round" sub={`${name}, ${labels[0]} to ${labels[1]}`} class="slopes-panel">
      <div class={`slopes slopes-${outcome}`} role="img" aria-label={label}>
        {[1, 0.5, 0].map((part) => (
          <span key={part} class="slopes-grid" style={{ '--at': share(1 - part / 1.15) }}>
            {amountOf((top / 1.15) * part, unit)}
          </span>
        ))}
        <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
          {isPaired && pairs.map(([a, b], at) => <path key={at} d={`M10 ${y(a)}L88 ${y(b)}`} />)}
        </svg>
        {rounds.before.map((value, at) => (
          <i key={`b${at}`} class="slopes-dot" style={{ '--x': '10%', '--y': `${y(value)}%` }} />
        ))}
        {rounds.after.map((value, at) => (
          <i key={`a${at}`} class="slopes-dot is-after" style={{ '--x': '88%', '--y': `${y(value)}%` }} />
        ))}
        {said !== null && <span class="slopes-said">{said}</span>}
      </div>
      <div class="slopes-labels muted small">
        <span>{labels[0]}</span>
        <span>{labels[1]}</span>
      </div>
    </Panel>
  )
}

const OF: Readonly<Record<Attribution['of'], string>> = {
  'ttft-mean': 'of mean TTFT',
  'ttft-p95': 'of TTFT of the slowest 5%',
  'tpot-mean': 'a token',
}

/** Parts add up to the difference; what nobody measured is printed, always. */
function Where({ attribution }: { readonly attribution: Attribution }) {
  const { parts, deltaMs, covered } = attribution
  const all = parts.reduce((sum, part) => sum + Math.abs(part.deltaMs), 0)
  const unexplained = parts.at(-1)?.deltaMs ?? 0
  return (
    <Panel
      title={`Where the ${duration(Math.abs(deltaMs))} ${OF[attribution.of]} went`}
      right={`unexplained ${signed(unexplained, duration)}`}
    >
      <span class="where" aria-hidden="true">
        {parts.map(({ part, deltaMs: ms }) =>
          all === 0 || ms === 0 ? null : (
            <i key={part} class={`where-${PARTS[part][0]}`} style={{ '--of': share(Math.abs(ms) / all) }} />
          ),
        )}
      </span>
      <dl class="where-parts">
        {parts.map(({ part, deltaMs: ms }) => (
          <div key={part}>
            <dt>
              <i class={`where-swatch where-${PARTS[part][0]}`} aria-hidden="true" /> {PARTS[part][1]}
            </dt>
            <dd>{signed(ms, duration)}</dd>
          </div>
        ))}
      </dl>
      {covered < 1 && (
        <p class="muted small">
          From {Math.round(covered * 100)}% of the requests: the others did not bring their parts.
        </p>
      )}
    </Panel>
  )
}

const CHECKED: Readonly<Record<Check['state'], readonly [Shape, string]>> = {
  same: ['well', 'the same'],
  warns: ['warn', 'keep it in mind'],
  unknown: ['none', 'not known'],
  differs: ['bad', 'differs'],
}

const Checks = ({ checks }: { readonly checks: readonly Check[] }) => (
  <Panel title="May they be compared?">
    <ul class="checks">
      {checks.map(({ name, state, title, text }) => (
        <li key={name}>
          <Mark shape={CHECKED[state][0]} label={CHECKED[state][1]} />
          <span>{title}</span>
          <span class="muted">{text}</span>
        </li>
      ))}
    </ul>
  </Panel>
)

function markdown({ sentence, details, effects, attributions, checks }: Comparison): string {
  const rows = effects.map(({ name, before, after, unit, low, high, outcome }) => {
    const words = (value: number): string => amountOf(value, unit)
    const interval = low === null || high === null ? 'open' : `${signed(low, words)} to ${signed(high, words)}`
    return `| ${name} | ${words(before)} | ${words(after)} | ${interval} | ${outcome} |`
  })
  const went = attributions.map(
    (one) =>
      `Where the ${signed(one.deltaMs, duration)} ${OF[one.of]} went: ${one.parts
        .map(({ part, deltaMs }) => `${PARTS[part][1]} ${signed(deltaMs, duration)}`)
        .join(', ')}.`,
  )
  const table = rows.length === 0 ? [] : ['| | before | after | 95% | |', '|---|---|---|---|---|', ...rows]
  return [`**${sentence}** ${details.join(' ')}`, '', ...table, '', ...went, ...checks.map(reason)].join('\n')
}
