/** One deployment on its own page: all that is known of it, its weight, and its removal. */
import { useState } from 'preact/hooks'
import { call } from '../../api.ts'
import { count, counted, duration, short } from '../../format.ts'
import { Bullet } from '../../parts/bars.tsx'
import { Button } from '../../parts/button.tsx'
import { confirm } from '../../parts/dialog.tsx'
import { Form } from '../../parts/form.tsx'
import { attempt, toast } from '../../parts/toast.tsx'
import { go } from '../../router.ts'
import type { Deployment, Quota } from './types.ts'

export const pathOf = (deployment: string): string => `/admin/deployments/${encodeURIComponent(deployment)}`

/** What its breaker opened for, and when it is tried again. */
export const brokenWords = ({ broken_by: by, broken_for_ms: ms }: Deployment): string =>
  `${by ?? 'it fails'}; ${ms > 1 ? `tried again in ${duration(ms)}` : 'one call tries it now'}`

/** What its own checks tell, where that is more than that it works. */
export function checkNote({ why, down, running, waiting }: NonNullable<Deployment['check']>): string | null {
  if (down) return `checks fail: ${why}`
  if (running === null && waiting === null) return null
  return `engine: ${count(running ?? 0)} running, ${count(waiting ?? 0)} waiting`
}

export function errorsOf(measured: { readonly attempts: number; readonly failed: number }): string {
  if (measured.attempts === 0) return '–'
  return `${((measured.failed / measured.attempts) * 100).toFixed(1).replace(/\.0$/, '')}%`
}

interface OwnProps {
  readonly of: Deployment
  readonly reload: () => Promise<void>
}

export function Own({ of: one, reload }: OwnProps) {
  const { name, source, active, weight } = one
  const [isWeighed, setWeighed] = useState(false)
  const remove = (): void =>
    void attempt(async () => {
      const isYes = await confirm({
        title: `Remove ${name}?`,
        body: (
          <p>
            No call begins there; {counted(active, 'call')} that run{active === 1 ? 's' : ''} end
            {active === 1 ? 's by itself' : ' by themselves'}. This can’t be undone: it would have to be added anew.
          </p>
        ),
        yes: `Remove ${name}`,
      })
      if (!isYes) return
      await call('DELETE', pathOf(name))
      toast(`${name} is removed.`)
      go('/models')
    })
  const weigh = async (to: unknown): Promise<void> => {
    await call('PATCH', pathOf(name), { weight: to })
    await reload()
  }
  return (
    <>
      <dl class="deployment-facts">
        {factsOf(one).map(([title, value]) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <p class="deployment-buttons">
        <Button needs="operator" onClick={() => setWeighed(true)}>
          Change its weight
        </Button>
        <Button
          kind="danger"
          needs="operator"
          off={source === 'config' ? 'sluice.yaml has it: remove it there, and reload; or take it out here.' : null}
          onClick={remove}
        >
          Remove
        </Button>
        {source === 'config' && (
          <span class="muted small">sluice.yaml has it: it can be removed there, and taken out here.</span>
        )}
      </p>
      {isWeighed && (
        <Form
          title={`Weight of ${name}`}
          fields={[{ name: 'weight', title: 'Weight', value: String(weight), placeholder: 'as sluice.yaml has it' }]}
          effect={({ weight: text }) =>
            `Weight ${count(weight)} → ${text.trim() || 'as configured'}: its share of new calls under “weighted”, on all nodes.`
          }
          yes="Change the weight"
          onClose={() => setWeighed(false)}
          send={async ({ weight: text }) => {
            const to = text.trim() === '' ? null : Number.isNaN(Number(text)) ? text : Number(text)
            await weigh(to)
            setWeighed(false)
            toast(`${name}: weight ${count(weight)} → ${to === null ? 'as configured' : count(to as number)}.`, {
              undo: () => weigh(one.weight_source === 'api' ? weight : null),
            })
          }}
        />
      )}
    </>
  )
}

function factsOf(one: Deployment): ReadonlyArray<readonly [string, preact.ComponentChildren]> {
  const { active, concurrent, measured, used, quota, tags } = one
  const range = (p50: number | null, p95: number | null): string => `${duration(p50)} / ${duration(p95)}`
  return [
    ['In flight', `${count(active)}${concurrent === null ? '' : ` of ${count(concurrent)}`}`],
    ['TTFT p50 / p95, last five minutes', range(measured.ttft_p50_ms, measured.ttft_p95_ms)],
    ['TPOT p50 / p95', range(measured.tpot_p50_ms, measured.tpot_p95_ms)],
    ['Errors', `${errorsOf(measured)}${measured.last_error === null ? '' : `, last: ${measured.last_error}`}`],
    ['Breaker', one.broken_for_ms === 0 ? 'closed' : `open: ${brokenWords(one)}`],
    ['Checks', one.check == null ? null : (checkNote(one.check) ?? 'it works')],
    ['Requests in the last minute', used && usedOf(used.requests, one.requests_per_minute)],
    ['Tokens in the last minute', used && usedOf(used.tokens, one.tokens_per_minute, used.held_tokens)],
    ['Left, as its provider told', quota && <QuotaLeft quota={quota} />],
    ['Order, weight', `${count(one.order)}, ${count(one.weight)}`],
    ['Context', one.context_tokens === null ? null : `${short(one.context_tokens)} tokens`],
    ['Region, tags', [one.region, ...tags].filter(Boolean).join(', ')],
    ['From', one.source === 'config' ? 'sluice.yaml' : 'the API'],
  ].flatMap(([title, value]) => (value === null || value === '' ? [] : [[title as string, value] as const]))
}

const usedOf = (used: number, limit: number | null, held = 0): preact.ComponentChildren =>
  limit === null ? (
    short(used)
  ) : (
    <span class="deployment-used">
      <Bullet used={used / limit} held={held / limit} width={64} label={`${short(used)} of ${short(limit)}`} />
      {short(used)} of {short(limit)}
      {held > 0 && <span class="muted">, {short(held)} held</span>}
    </span>
  )

/** Of a minute, what binds first: as it is counted here, else as its provider told. */
export function Minute({ of: one }: { readonly of: Deployment }) {
  const { used, quota, requests_per_minute: requests, tokens_per_minute: tokens } = one
  if (used === null) return quota === null ? <span class="faint">–</span> : <QuotaLeft quota={quota} />
  const all = [
    [used.tokens + used.held_tokens, tokens, 'tokens'],
    [used.requests, requests, 'requests'],
  ] as const
  const words = all.flatMap(([n, limit, what]) =>
    limit ? [[n / limit, `${short(n)} / ${short(limit)} ${what}`] as const] : [],
  )
  const [[share, first], ...more] = words.sort(([a], [b]) => b - a)
  return (
    <span class={share >= 0.95 ? 'warn' : ''} title={[first, ...more.map(([, other]) => other)].join(', ')}>
      {first}
    </span>
  )
}

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
      {words[0] === undefined ? '–' : `${words[0]} left`}
      <span class="faint small deployment-note">{duration(ageMs)} ago</span>
    </span>
  )
}
