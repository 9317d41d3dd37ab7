import { call } from '../../api.ts'
import { count, counted, duration, money, short } from '../../format.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { Bullet } from '../../parts/bars.tsx'
import { Button } from '../../parts/button.tsx'
import { Head } from '../../parts/head.tsx'
import { Mark, type Shape } from '../../parts/mark.tsx'
import { Panel } from '../../parts/panel.tsx'
import { Sparkline } from '../../parts/sparkline.tsx'
import { attempt, toast } from '../../parts/toast.tsx'
import { hrefOf } from '../../router.ts'
import type { PageProps } from '../index.ts'
import './models.css'

interface Deployment {
  readonly name: string
  readonly provider: string
  readonly upstream_model: string | null
  readonly concurrent: number | null
  readonly state: 'up' | 'full' | 'failing' | 'cooling' | 'draining'
  readonly active: number
  readonly cools_for_ms: number
  readonly failures_in_row: number
  /** Of the last five minutes, by the node that is asked. */
  readonly measured: {
    readonly ttft_p50_ms: number | null
    readonly ttft_p95_ms: number | null
    readonly tpot_p50_ms: number | null
    readonly tpot_p95_ms: number | null
    readonly attempts: number
    readonly failed: number
    readonly nano_dollars: number
    readonly last_error: string | null
    readonly recent?: {
      readonly ttft_p95_ms: readonly (number | null)[]
      readonly tpot_p50_ms: readonly (number | null)[]
    }
  }
  /** As its provider's headers last told. */
  readonly quota: { readonly age_ms: number; readonly requests: Quota | null; readonly tokens: Quota | null } | null
}

interface Quota {
  readonly limit: number | null
  readonly remaining: number | null
  readonly reset_ms: number | null
}

interface Model {
  readonly id: string
  readonly pool: string
  readonly kinds: readonly string[]
  readonly deployments: readonly Deployment[]
  readonly price: {
    readonly source: string
    readonly dollars_per_million_input_tokens: number | null
    readonly dollars_per_million_output_tokens: number | null
  } | null
  readonly disabled: { readonly reason: string } | null
}

const AGAIN_MS = 2_000

export function Models({ params }: PageProps) {
  const models = useLoad<{ data: readonly Model[] }>('/admin/models?recent=true', AGAIN_MS)
  const name = params['name']
  const all = models.data?.data ?? []
  const shown =
    name === undefined
      ? all
      : all.filter(({ id, deployments }) => id === name || deployments.some((one) => one.name === name))
  return (
    <>
      <Head
        title={name ?? 'Models'}
        {...(name !== undefined && { of: { title: 'Models', to: '/models' } })}
        hasSearch
      />
      {models.error !== null && <Trouble error={models.error} />}
      <p class="models-more muted">
        Also: <a href={hrefOf('/benchmarks')}>Benchmarks</a> · <a href={hrefOf('/changes')}>Changes</a>
      </p>
      {models.data !== null && shown.length === 0 && (
        <p class="empty">
          {name === undefined ? 'No model is configured.' : `There is no model or deployment ${name}.`}{' '}
          <a href={hrefOf('/models')}>All models</a>
        </p>
      )}
      {shown.map((model) => (
        <One key={model.id} model={model} chosen={name} reload={models.reload} />
      ))}
    </>
  )
}

const STATES: Readonly<Record<Deployment['state'], { readonly shape: Shape; readonly word: string }>> = {
  up: { shape: 'well', word: 'up' },
  full: { shape: 'runs', word: 'full' },
  cooling: { shape: 'bad', word: 'left alone' },
  failing: { shape: 'bad', word: 'failing' },
  draining: { shape: 'canceled', word: 'taken out' },
}

function One(props: {
  readonly model: Model
  readonly chosen: string | undefined
  readonly reload: () => Promise<void>
}) {
  const { model, chosen, reload } = props
  const { id, deployments, price, disabled, kinds } = model
  const path = `/jobs?model=${encodeURIComponent(id)}`
  const own = deployments.find(({ name }) => name === chosen)
  return (
    <Panel
      title={id}
      sub={
        <>
          {kinds.join(', ')} · {counted(deployments.length, 'deployment')}
          {disabled !== null && (
            <span class="warn"> · ▲ disabled{disabled.reason === '' ? '' : `: ${disabled.reason}`}</span>
          )}
        </>
      }
      right={
        <>
          <span>{priceOf(price)}</span>
          <a href={hrefOf(path)}>Its jobs</a>
        </>
      }
    >
      <table class="table models-table" aria-label={`Deployments of ${id}`}>
        <thead>
          <tr>
            <th scope="col">Deployment</th>
            <th scope="col">State</th>
            <th scope="col" class="from-phone">
              In flight
            </th>
            <th scope="col" class="from-tablet">
              TTFT p50 / p95
            </th>
            <th scope="col" class="from-desk">
              TPOT p50 / p95
            </th>
            <th scope="col" class="right from-desk">
              Errors
            </th>
            <th scope="col" class="right from-desk">
              Quota left
            </th>
            <th>
              <span class="for-readers">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {deployments.map((one) => (
            <Row key={one.name} model={id} of={one} isChosen={one.name === chosen} reload={reload} />
          ))}
        </tbody>
      </table>
      {own !== undefined && <Facts of={own} />}
    </Panel>
  )
}

/** What a narrow table leaves out, on the deployment's own page. */
function Facts({ of: { active, concurrent, measured, quota } }: { readonly of: Deployment }) {
  const range = (p50: number | null, p95: number | null): string => `${duration(p50)} / ${duration(p95)}`
  return (
    <dl class="deployment-facts">
      <dt>In flight</dt>
      <dd>
        {count(active)}
        {concurrent !== null && ` of ${count(concurrent)}`}
      </dd>
      <dt>TTFT p50 / p95, last five minutes</dt>
      <dd>{range(measured.ttft_p50_ms, measured.ttft_p95_ms)}</dd>
      <dt>TPOT p50 / p95</dt>
      <dd>{range(measured.tpot_p50_ms, measured.tpot_p95_ms)}</dd>
      <dt>Errors</dt>
      <dd>
        {errorsOf(measured)}
        {measured.last_error !== null && <span class="muted">, last: {measured.last_error}</span>}
      </dd>
      <dt>Quota left</dt>
      <dd>{quota === null ? '–' : <QuotaLeft quota={quota} />}</dd>
    </dl>
  )
}

function priceOf(price: Model['price']): string {
  if (price === null) return 'its price isn’t known'
  const { dollars_per_million_input_tokens: input, dollars_per_million_output_tokens: output } = price
  if (input === 0 && output === 0) return 'costs nothing'
  const of = (dollars: number | null): string => (dollars === null ? '–' : money(dollars * 1e9))
  return `${of(input)} in, ${of(output)} out a million tokens`
}

function Row(props: {
  readonly model: string
  readonly of: Deployment
  readonly isChosen: boolean
  readonly reload: () => Promise<void>
}) {
  const { model, of: one, isChosen, reload } = props
  const { name, state, active, concurrent, cools_for_ms: coolsForMs, failures_in_row: failures } = one
  const { measured, quota } = one
  const act = (verb: 'drain' | 'resume'): Promise<unknown> =>
    call('POST', `/admin/deployments/${encodeURIComponent(name)}/${verb}`)
  const turn = (verb: 'drain' | 'resume'): void =>
    void attempt(async () => {
      await act(verb)
      await reload()
      const other = verb === 'drain' ? 'resume' : 'drain'
      const words =
        verb === 'drain'
          ? `${name} is taken out: ${counted(active, 'call')} end${active === 1 ? 's' : ''} by itself, none begins.`
          : `${name} is back.`
      toast(active === 1 || verb === 'resume' ? words : words.replace('by itself', 'by themselves'), {
        undo: async () => {
          await act(other)
          await reload()
        },
      })
    })
  const probe = (): void =>
    void attempt(async () => {
      const {
        ok,
        detail,
        took_ms: tookMs,
      } = await call<{ ok: boolean; detail: string; took_ms: number }>(
        'POST',
        `/admin/deployments/${encodeURIComponent(name)}/probe`,
      )
      await reload()
      toast(`${name} ${ok ? 'answers' : 'does not answer'}: ${detail} (${duration(tookMs)}).`, { isError: !ok })
    })
  return (
    <tr class={isChosen ? 'is-chosen' : ''}>
      <td>
        <span class="deployment-name">
          <a href={hrefOf(`/models/${encodeURIComponent(name)}`)}>
            <strong>{name}</strong>
          </a>
          <span class="faint small">
            {one.provider}
            {one.upstream_model !== null && one.upstream_model !== model && `, ${one.upstream_model}`}
          </span>
        </span>
      </td>
      <td>
        <span
          class={`state ${state === 'cooling' || state === 'failing' ? 'bad' : ''}`}
          title={measured.last_error ?? undefined}
        >
          <Mark shape={STATES[state].shape} />
          {STATES[state].word}
          {coolsForMs > 0 && ` for ${duration(coolsForMs)}`}
        </span>
        {failures > 0 && <span class="deployment-note small muted">{counted(failures, 'failure')} in a row</span>}
      </td>
      <td class="from-phone">
        <span class="deployment-slots">
          {concurrent !== null && concurrent > 0 && (
            <Bullet used={active / concurrent} label={`${active} of ${concurrent} slots`} width={64} />
          )}
          <span>
            {count(active)}
            {concurrent !== null && <span class="muted"> / {count(concurrent)}</span>}
          </span>
        </span>
      </td>
      <td class="from-tablet">
        <Measured values={measured.recent?.ttft_p95_ms} p50={measured.ttft_p50_ms} p95={measured.ttft_p95_ms} />
      </td>
      <td class="from-desk">
        <Measured values={measured.recent?.tpot_p50_ms} p50={measured.tpot_p50_ms} p95={measured.tpot_p95_ms} />
      </td>
      <td class="right from-desk">{errorsOf(measured)}</td>
      <td class="right from-desk">{quota === null ? <span class="faint">–</span> : <QuotaLeft quota={quota} />}</td>
      <td class="right deployment-actions">
        {state === 'draining' ? (
          <Button isSmall needs="operator" onClick={() => turn('resume')}>
            Put back
          </Button>
        ) : (
          <Button isSmall needs="operator" onClick={() => turn('drain')}>
            Take out
          </Button>
        )}
        <Button isSmall needs="operator" onClick={probe}>
          Probe now
        </Button>
      </td>
    </tr>
  )
}

interface MeasuredProps {
  readonly values: readonly (number | null)[] | undefined
  readonly p50: number | null
  readonly p95: number | null
}

const Measured = ({ values, p50, p95 }: MeasuredProps) => (
  <span class="deployment-spark" title={`p50 ${duration(p50)}, p95 ${duration(p95)}, in the last five minutes`}>
    {values === undefined ? <span /> : <Sparkline values={values} width={44} height={16} />}
    <span>
      {duration(p50)}
      <span class="muted"> / {duration(p95)}</span>
    </span>
  </span>
)

/** What is left of what its provider allows, and how old that is. */
function QuotaLeft({
  quota: { age_ms: ageMs, requests, tokens },
}: {
  readonly quota: NonNullable<Deployment['quota']>
}) {
  const left = (of: Quota | null, what: string): string | null =>
    of === null || of.remaining === null
      ? null
      : `${short(of.remaining)}${of.limit === null ? '' : ` of ${short(of.limit)}`} ${what}`
  const words = [left(tokens, 'tokens'), left(requests, 'requests')].filter((one) => one !== null)
  return (
    <span title={`${words.join(', ')}, as its provider told ${duration(ageMs)} ago`}>
      {words[0] ?? '–'}
      <span class="faint small deployment-note">{duration(ageMs)} ago</span>
    </span>
  )
}

function errorsOf(measured: { readonly attempts: number; readonly failed: number }): string {
  if (measured.attempts === 0) return '–'
  return `${((measured.failed / measured.attempts) * 100).toFixed(1).replace(/\.0$/, '')}%`
}
