import { useState } from 'preact/hooks'
import { call } from '../../api.ts'
import { count, counted, duration, money } from '../../format.ts'
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
import { Add } from './add.tsx'
import { brokenWords, checkNote, errorsOf, Minute, Own } from './deployment.tsx'
import './models.css'
import type { Deployment, Model } from './types.ts'

const AGAIN_MS = 2_000

export function Models({ params }: PageProps) {
  const models = useLoad<{ data: readonly Model[] }>('/admin/models?recent=true', AGAIN_MS)
  const name = params['name']
  const all = models.data?.data ?? []
  const [isNew, setNew] = useState(false)
  const shown =
    name === undefined
      ? all
      : all.filter(({ id, deployments }) => id === name || deployments.some((one) => one.name === name))
  return (
    <>
      <Head title={name ?? 'Models'} {...(name !== undefined && { of: { title: 'Models', to: '/models' } })} hasSearch>
        {name === undefined && (
          <Button needs="admin" onClick={() => setNew(true)}>
            Add a deployment
          </Button>
        )}
      </Head>
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
      {isNew && <Add onClose={() => setNew(false)} reload={models.reload} />}
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
              A minute
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
      {own !== undefined && <Own of={own} reload={reload} />}
    </Panel>
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
  const { measured, broken_for_ms: brokenForMs } = one
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
        {one.check != null && checkNote(one.check) !== null && (
          <span class="deployment-note small muted">{checkNote(one.check)}</span>
        )}
        {brokenForMs > 0 ? (
          <span class="deployment-note small muted">{brokenWords(one)}</span>
        ) : (
          failures > 0 && <span class="deployment-note small muted">{counted(failures, 'failure')} in a row</span>
        )}
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
      <td class="right from-desk">
        <Minute of={one} />
      </td>
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
