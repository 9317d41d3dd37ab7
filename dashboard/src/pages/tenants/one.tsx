/** The chosen tenant: its limits, keys, spend, and how to stop it. */
import { useState } from 'preact/hooks'
import { call, get } from '../../api.ts'
import { age, counted, money, percent } from '../../format.ts'
import { useKey } from '../../keys.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { Bullet } from '../../parts/bars.tsx'
import { Button } from '../../parts/button.tsx'
import { confirm, Dialog } from '../../parts/dialog.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Panel } from '../../parts/panel.tsx'
import { attempt, toast } from '../../parts/toast.tsx'
import { hrefOf } from '../../router.ts'
import { forbids } from '../../session.ts'
import { serverNow } from '../../socket.ts'
import { actOn, told } from '../jobs/act.ts'
import { Keys } from './keys.tsx'
import { changed, changesOf, changeWords, FIELDS, type Limits, limitOf, monthStart } from './limits.ts'
import { Refusals } from './refusals.tsx'
import { Standing } from './standing.tsx'
import type { Listed, Tenant, Usage } from './types.ts'

interface OneProps {
  readonly tenant: Tenant & {
    readonly runs: number
    readonly waits: number
    readonly spentNano: number
    readonly isPaused: boolean
  }
  readonly reload: () => Promise<void>
}

export function One({ tenant, reload }: OneProps) {
  const { id } = tenant
  const [isLimits, setLimits] = useState(false)
  const [isKey, setKey] = useState(false)
  const locked = lockOf(tenant)
  useKey('l', 'change limits', () => setLimits(true), locked === null && forbids('admin') === null)
  useKey('n', 'new key', () => setKey(true), forbids('admin') === null)
  return (
    <section class="tenant" aria-label={`Tenant ${id}`}>
      <header class="tenant-head">
        <h2>{id}</h2>
        <span class="muted">{about(tenant)}</span>
        <span class="tenant-buttons">
          <Button hint="l" needs="admin" off={locked} onClick={() => setLimits(true)}>
            {locked !== null && <Icon name="lock" size={13} />}
            Change limits
          </Button>
          <Button kind="primary" hint="n" needs="admin" onClick={() => setKey(true)}>
            New key
          </Button>
        </span>
      </header>
      <div class="columns tenant-columns">
        <Standing tenant={tenant} locked={locked} />
        <Keys tenant={id} isNew={isKey} setNew={setKey} />
        <Spend tenant={id} />
        <Refusals tenant={id} />
        <Stop tenant={tenant} reload={reload} />
      </div>
      {isLimits && (
        <LimitsDialog
          of={id}
          limits={tenant.limits}
          path={`/admin/tenants/${encodeURIComponent(id)}`}
          effect={effectOf(tenant)}
          onClose={() => setLimits(false)}
          onStored={reload}
        />
      )}
    </section>
  )
}

function effectOf({ runs, waits }: OneProps['tenant']): string {
  const running = `${counted(runs, 'job')} that run${runs === 1 ? 's' : ''} keep${runs === 1 ? 's' : ''} what is held`
  const waiting = `${counted(waits, 'job')} in line wait${waits === 1 ? 's' : ''} by the new limits`
  return `It takes effect at once: ${running}; ${waiting}.`
}

/** What sluice.yaml owns is changed there. */
const lockOf = ({ id, limits_source }: Tenant): string | null =>
  limits_source === 'config'
    ? `sluice.yaml sets these limits (tenants, name: ${id}): change them there, and reload.`
    : null

function about({ label, source, changed_at, models, disabled, isPaused }: OneProps['tenant']): string {
  const by = { config: 'in sluice.yaml', api: 'by the API', key: 'known by its keys alone' }[source]
  return [
    label,
    by,
    changed_at !== null && `last changed ${agoOf(changed_at)}`,
    models !== null && `models: ${models.join(', ')}`,
    disabled !== null && `stopped${disabled.reason === '' ? '' : ` (${disabled.reason})`}`,
    isPaused && 'queue paused',
  ]
    .filter(Boolean)
    .join(' · ')
}

function agoOf(atSeconds: number): string {
  const text = age(atSeconds * 1_000, serverNow())
  return /\d (?:s|min|h)$/.test(text) ? `${text} ago` : text
}

interface LimitsDialogProps {
  readonly of: string
  readonly limits: Limits | null
  readonly path: string
  readonly effect: string
  readonly onClose: () => void
  readonly onStored: () => Promise<void>
}

/** No spinners: the wheel and the arrows do nothing to a field. A change is shown before it is made. */
export function LimitsDialog({ of, limits, path, effect, onClose, onStored }: LimitsDialogProps) {
  const [texts, setTexts] = useState<Readonly<Record<string, string>>>(() =>
    Object.fromEntries(FIELDS.map(({ name }) => [name, limitOf(limits, name)?.toLocaleString('en') ?? ''])),
  )
  const changes = changesOf(limits, texts)
  const off =
    changes === null
      ? 'A limit is a number: 600,000, 600k or 1.2 M.'
      : changes.length === 0
        ? 'Nothing is changed.'
        : null
  const store = (): void =>
    void attempt(async () => {
      if (changes === null) return
      await call('PATCH', path, { limits: changed(limits, changes) })
      onClose()
      await onStored()
      toast(`${of}: ${changes.map(changeWords).join(', ')}.`, {
        undo: async () => {
          await call('PATCH', path, { limits: changed(limits, []) })
          await onStored()
          toast(`${of}: as it was.`)
        },
      })
    })
  return (
    <Dialog title={`Limits of ${of}`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (off === null) store()
        }}
      >
        <div class="limit-fields">
          {FIELDS.map(({ name, title, isMoney }) => (
            <label key={name} class="field">
              {title}
              <input
                type="text"
                inputMode="decimal"
                autocomplete="off"
                placeholder="no limit"
                value={texts[name]}
                aria-invalid={changesOf(limits, { [name]: texts[name] }) === null}
                onInput={({ currentTarget }) => setTexts({ ...texts, [name]: currentTarget.value })}
              />
              {isMoney && <span class="faint small">US dollars, UTC</span>}
            </label>
          ))}
        </div>
        <div class="limit-changes" role="status">
          {changes === null ? (
            <p class="warn">{off}</p>
          ) : (
            changes.map((change) => (
              <p key={change.field.name}>
                <strong>{changeWords(change)}</strong>
              </p>
            ))
          )}
          {changes !== null && changes.length > 0 && <p class="muted">{effect}</p>}
        </div>
        <div class="dialog-foot">
          <Button onClick={onClose}>Leave it</Button>
          <Button kind="primary" type="submit" off={off}>
            Change limits
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

function Spend({ tenant }: { readonly tenant: string }) {
  const nowMs = serverNow()
  const usage = useLoad<Usage>(
    `/admin/usage?tenant=${encodeURIComponent(tenant)}&group_by=model&from=${monthStart(nowMs)}`,
    30_000,
  )
  const rows = [...(usage.data?.data ?? [])].sort((one, other) => other.nano_dollars - one.nano_dollars)
  const total = rows.reduce((sum, one) => sum + one.nano_dollars, 0)
  const attempts = rows.reduce((sum, one) => sum + one.attempts, 0)
  const estimated = rows.reduce((sum, one) => sum + one.estimated, 0)
  const most = Math.max(1, ...rows.map((one) => one.nano_dollars))
  return (
    <Panel
      title="Spend"
      sub={`${new Date(nowMs).toLocaleString('en', { month: 'long', timeZone: 'UTC' })}, by model`}
      right={money(total)}
    >
      {usage.error !== null && <Trouble error={usage.error} />}
      {usage.data !== null && rows.length === 0 && <p class="muted">Nothing was used this month.</p>}
      <ul class="limits">
        {rows.slice(0, 12).map((one) => (
          <li key={one.model}>
            <span class="clip">{one.model}</span>
            <Bullet used={one.nano_dollars / most} tone="slate" label={`${one.model}: ${money(one.nano_dollars)}`} />
            <span class="limits-value">{money(one.nano_dollars)}</span>
          </li>
        ))}
      </ul>
      {rows.length > 12 && <p class="small muted">{rows.length - 12} more models: export the CSV.</p>}
      {attempts > 0 && (
        <p class="small muted">
          {estimated === 0
            ? `All ${counted(attempts, 'call')} as the providers report.`
            : `${percent(1 - estimated / attempts)} of calls as the providers report, ` +
              `${percent(estimated / attempts)} estimated (cuts and cancels).`}
        </p>
      )}
    </Panel>
  )
}

/** Each with what it will do, counted. */
function Stop({ tenant, reload }: OneProps) {
  const { id, disabled, isPaused, runs, waits } = tenant
  const post = (verb: string, body: object): Promise<unknown> => call('POST', `/admin/${verb}`, body)
  const turn = (does: () => Promise<unknown>, undoes: () => Promise<unknown>, words: string) => (): void =>
    void attempt(async () => {
      await does()
      await reload()
      toast(words, {
        undo: async () => {
          await undoes()
          await reload()
        },
      })
    })
  const enable = (): Promise<unknown> => post('enable', { tenant: id })
  const disable = (): Promise<unknown> => post('disable', { tenant: id, running: 'finish', queued: 'keep', reason: '' })
  const pause = (): Promise<unknown> => post('pause', { tenant: id })
  const resume = (): Promise<unknown> => post('resume', { tenant: id })
  const cut = (): void =>
    void attempt(async () => {
      const { data } = await get<Listed>(`/admin/jobs?tenant=${encodeURIComponent(id)}&state=leased&limit=1000`)
      const isYes = await confirm({
        title: `Cut what runs of ${id}?`,
        body: (
          <p>
            {counted(data.length, 'job')} end{data.length === 1 ? 's' : ''} now; what they have written stays. Those in
            line go on after them. This can’t be undone.
          </p>
        ),
        yes: `Cut ${counted(data.length, 'job')}`,
        typed: id,
      })
      if (!isYes) return
      const outcome = await actOn(
        'cancel',
        data.map((job) => job.id),
      )
      await reload()
      toast(told('cancel', outcome), { isError: outcome.done === 0 })
    })
  return (
    <Panel title={`Stop ${id}`} sub="in force within 5 s; each can be undone but the last">
      <ul class="stops">
        <li>
          {disabled === null ? (
            <Button needs="admin" onClick={turn(disable, enable, `${id} is stopped.`)}>
              Refuse new work
            </Button>
          ) : (
            <Button needs="admin" onClick={turn(enable, disable, `${id} is served again.`)}>
              Serve it again
            </Button>
          )}
          <span class="muted">
            {disabled === null
              ? `403, told why; ${counted(waits, 'job')} in line stay${waits === 1 ? 's' : ''}, ` +
                `${runs} that run end by themselves`
              : `stopped ${agoOf(disabled.at)}; ${counted(waits, 'job')} wait${waits === 1 ? 's' : ''}`}
          </span>
        </li>
        <li>
          {isPaused ? (
            <Button needs="operator" onClick={turn(resume, pause, `The queue of ${id} goes on.`)}>
              Let the queue go on
            </Button>
          ) : (
            <Button needs="operator" onClick={turn(pause, resume, `The queue of ${id} is paused.`)}>
              Pause the queue
            </Button>
          )}
          <span class="muted">
            {counted(waits, 'job')} keep{waits === 1 ? 's' : ''} {waits === 1 ? 'its' : 'their'} place; new ones are
            taken
          </span>
        </li>
        <li>
          <Button kind="danger" needs="operator" off={runs === 0 ? 'Nothing of it runs.' : null} onClick={cut}>
            Cut what runs
          </Button>
          <span class="muted">
            {counted(runs, 'job')} end{runs === 1 ? 's' : ''} now; {runs === 1 ? 'its' : 'their'} text stays.{' '}
            <a href={hrefOf(`/jobs?tenant=${encodeURIComponent(id)}&state=leased`)}>Which</a>
          </span>
        </li>
      </ul>
    </Panel>
  )
}
