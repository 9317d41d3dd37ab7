/** The keys of a tenant: the secret is shown once; only its digest is kept. */
import { useState } from 'preact/hooks'
import { call } from '../../api.ts'
import { age, clock, counted, date, duration, percent, whole } from '../../format.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { Button, CopyButton } from '../../parts/button.tsx'
import { confirm, Dialog } from '../../parts/dialog.tsx'
import { Mark } from '../../parts/mark.tsx'
import { Panel } from '../../parts/panel.tsx'
import { Choice } from '../../parts/tabs.tsx'
import { attempt, toast } from '../../parts/toast.tsx'
import { forbids } from '../../session.ts'
import { serverNow } from '../../socket.ts'
import { monthStart } from './limits.ts'
import { LimitsDialog } from './one.tsx'
import type { Key, Usage } from './types.ts'

/** Known to the minute, so what was used within one is "now". */
const lastUseOf = ({ last_used_at: at }: Key): string => {
  if (at === null) return 'never'
  const ageMs = serverNow() - at * 1_000
  if (ageMs < 120_000) return 'now'
  const text = age(at * 1_000, serverNow())
  return /\d (?:min|h)$/.test(text) ? `${text} ago` : text
}

const Share = ({ of }: { readonly of: number | null }) =>
  of === null ? null : (
    <span class="small faint keys-note" title="Of its tenant's tokens this month">
      {percent(of)} of use
    </span>
  )

/** Of the tokens of its tenant; null: nobody has used any. */
function shareOf(usage: Usage | null, key: string): number | null {
  const tokensOf = (one: Usage['data'][number]): number => one.prompt_tokens + one.completion_tokens
  const all = (usage?.data ?? []).reduce((sum, one) => sum + tokensOf(one), 0)
  const own = usage?.data.find((one) => one.key === key)
  return all === 0 ? null : own === undefined ? 0 : tokensOf(own) / all
}

const DAY = 86_400_000

interface Secret {
  /** The key that it is of. */
  readonly of: string
  readonly words: string
  readonly key: string
}

export function Keys(props: {
  readonly tenant: string
  readonly isNew: boolean
  readonly setNew: (isNew: boolean) => void
}) {
  const { tenant, isNew, setNew } = props
  const why = forbids('operator')
  const keys = useLoad<{ data: readonly Key[] }>(why === null ? '/admin/keys' : null, 10_000)
  const usage = useLoad<Usage>(
    `/admin/usage?tenant=${encodeURIComponent(tenant)}&group_by=key&from=${monthStart(serverNow())}`,
    60_000,
  )
  const [secret, setSecret] = useState<Secret | null>(null)
  const [rotated, setRotated] = useState<Key | null>(null)
  const [limited, setLimited] = useState<Key | null>(null)
  const own = (keys.data?.data ?? []).filter((key) => key.tenant === tenant)
  const live = own.filter((key) => key.revoked_at === null && !isOver(key))
  const gone = own.length - live.length
  const revoke = (key: Key): void =>
    void attempt(async () => {
      const isYes = await confirm({
        title: `Revoke ${nameOf(key)}?`,
        body: (
          <p>
            Requests and connections with <code>{key.hint}</code> end within 5 s. Its jobs go on. This can’t be undone:
            its clients need another key.
          </p>
        ),
        yes: `Revoke ${nameOf(key)}`,
      })
      if (!isYes) return
      await call('DELETE', `/admin/keys/${encodeURIComponent(key.id)}`)
      setSecret((shown) => (shown?.of === key.id ? null : shown))
      await keys.reload()
      toast(`${nameOf(key)} is revoked.`)
    })
  return (
    <Panel title="Keys" right={keys.data === null ? undefined : `${live.length} live, ${gone} revoked or ended`}>
      {why !== null && <p class="muted">{why}</p>}
      {keys.error !== null && <Trouble error={keys.error} />}
      {secret !== null && (
        <div class="secret" role="status">
          <Mark shape="well" />
          <span>
            <strong>{secret.words}</strong>{' '}
            <span class="muted">Copy it now: only its digest is kept, it can’t be shown again.</span>
            <code>{secret.key}</code>
          </span>
          <CopyButton kind="primary" text={secret.key} />
          <Button isSmall kind="quiet" label="Hide the key" onClick={() => setSecret(null)}>
            ×
          </Button>
        </div>
      )}
      {live.length > 0 && (
        <table class="table keys-table" aria-label={`Keys of ${tenant}`}>
          <thead>
            <tr>
              <th scope="col">Key</th>
              <th scope="col" class="from-tablet">
                May use
              </th>
              <th scope="col" class="from-phone">
                Last use
              </th>
              <th scope="col" class="from-tablet">
                State
              </th>
              <th>
                <span class="for-readers">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {live.map((key) => (
              <tr key={`${key.id} ${key.hint}`}>
                <td>
                  <strong>{nameOf(key)}</strong>
                  {key.replaced_at !== null && <span class="muted">, old</span>}
                  <code class="small keys-note" title={key.id}>
                    {key.hint}
                  </code>
                </td>
                <td class="from-tablet muted">{key.models === null ? 'all models' : key.models.join(', ')}</td>
                <td class="from-phone muted">
                  {lastUseOf(key)}
                  <Share of={shareOf(usage.data, key.id)} />
                </td>
                <td class="from-tablet">
                  <State of={key} />
                  {key.expires_at !== null && <span class="small muted keys-note">{endOf(key)}</span>}
                </td>
                <td class="right keys-actions">
                  {key.replaced_at === null && (
                    <>
                      <Button isSmall needs="admin" onClick={() => setLimited(key)}>
                        Limit
                      </Button>
                      <Button isSmall needs="admin" onClick={() => setRotated(key)}>
                        Rotate
                      </Button>
                      <Button isSmall needs="admin" onClick={() => revoke(key)}>
                        Revoke
                      </Button>
                    </>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {keys.data !== null && live.length === 0 && <p class="muted">No key of it is live.</p>}
      {isNew && (
        <NewKey
          tenant={tenant}
          onClose={() => setNew(false)}
          onMade={async (made) => {
            setNew(false)
            setSecret(made)
            await keys.reload()
          }}
        />
      )}
      {rotated !== null && (
        <Rotate
          of={rotated}
          onClose={() => setRotated(null)}
          onDone={async (made) => {
            setRotated(null)
            setSecret(made)
            await keys.reload()
          }}
        />
      )}
      {limited !== null && (
        <LimitsDialog
          of={`key ${nameOf(limited)}`}
          limits={limited.limits}
          path={`/admin/keys/${encodeURIComponent(limited.id)}`}
          effect="It takes effect with the next request of this key."
          onClose={() => setLimited(null)}
          onStored={keys.reload}
        />
      )}
    </Panel>
  )
}

const nameOf = ({ name, id }: Key): string => (name === '' ? id : name)
const isOver = ({ expires_at: end }: Key): boolean => end !== null && end * 1_000 <= serverNow()

function endOf({ expires_at: end }: Key): preact.ComponentChildren {
  if (end === null) return 'never'
  const ms = end * 1_000
  return <time title={whole(ms)}>{ms - serverNow() < DAY ? clock(ms, serverNow()).slice(0, 5) : date(ms)}</time>
}

function State({ of: key }: { readonly of: Key }) {
  const leftMs = key.expires_at === null ? null : key.expires_at * 1_000 - serverNow()
  if (key.disabled !== null)
    return (
      <span class="state warn">
        <Mark shape="warn" />
        disabled
      </span>
    )
  if (leftMs !== null && leftMs < DAY)
    return (
      <span class="state">
        <Mark shape="warn" />
        ends in {duration(leftMs)}
      </span>
    )
  return (
    <span class="state" title={`made ${age(key.created_at * 1_000, serverNow())} ago`}>
      <Mark shape="well" />
      live{key.limits === null ? '' : ', limited'}
    </span>
  )
}

interface MakeProps {
  readonly onClose: () => void
}

const ENDS = [
  { value: 'never', text: 'never', ms: null },
  { value: 'day', text: '1 day', ms: DAY },
  { value: 'month', text: '30 days', ms: 30 * DAY },
  { value: 'quarter', text: '90 days', ms: 90 * DAY },
] as const

function NewKey(props: MakeProps & { readonly tenant: string; readonly onMade: (secret: Secret) => Promise<void> }) {
  const { tenant, onClose, onMade } = props
  const [name, setName] = useState('')
  const [end, setEnd] = useState<(typeof ENDS)[number]['value']>('never')
  return (
    <Dialog title={`New key for ${tenant}`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void attempt(async () => {
            const ms = ENDS.find(({ value }) => value === end)?.ms ?? null
            const made = await call<Key & { key: string }>('POST', '/admin/keys', {
              tenant,
              name: name.trim(),
              ...(ms !== null && { expires_in_ms: ms }),
            })
            await onMade({ of: made.id, words: `Key “${nameOf(made)}” is made.`, key: made.key })
          })
        }}
      >
        <div class="dialog-body">
          <label class="field">
            Name, for people
            <input
              value={name}
              maxLength={128}
              autocomplete="off"
              onInput={({ currentTarget }) => setName(currentTarget.value)}
            />
          </label>
          <div class="field">
            Ends
            <Choice label="Ends" options={ENDS} value={end} onChange={setEnd} />
          </div>
        </div>
        <div class="dialog-foot">
          <Button onClick={onClose}>Leave it</Button>
          <Button kind="primary" type="submit">
            Make the key
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

const OVERLAPS = [
  { value: 'none', text: 'now', ms: 0 },
  { value: 'hour', text: '1 h', ms: 3_600_000 },
  { value: 'day', text: '24 h', ms: DAY },
  { value: 'week', text: '7 d', ms: 7 * DAY },
] as const

function Rotate(props: MakeProps & { readonly of: Key; readonly onDone: (secret: Secret) => Promise<void> }) {
  const { of: key, onClose, onDone } = props
  const [overlap, setOverlap] = useState<(typeof OVERLAPS)[number]['value']>('hour')
  return (
    <Dialog title={`Rotate ${nameOf(key)}`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void attempt(async () => {
            const { ms } = OVERLAPS.find(({ value }) => value === overlap) ?? OVERLAPS[0]
            const made = await call<{ key: string }>('POST', `/admin/keys/${encodeURIComponent(key.id)}/rotate`, {
              overlap_ms: ms,
            })
            const until =
              ms === 0 ? 'The old one has ended.' : `The old one ends in ${counted(ms / 3_600_000, 'hour')}.`
            await onDone({ of: key.id, words: `${nameOf(key)} has a new secret. ${until}`, key: made.key })
          })
        }}
      >
        <div class="dialog-body">
          <p>
            It gets another secret; its id, its limits and its usage stay. This can’t be undone: an earlier old secret
            ends at once.
          </p>
          <div class="field">
            The secret of now, <code>{key.hint}</code>, ends
            <Choice label="The secret of now ends" options={OVERLAPS} value={overlap} onChange={setOverlap} />
          </div>
        </div>
        <div class="dialog-foot">
          <Button onClick={onClose}>Leave it</Button>
          <Button kind="primary" type="submit">
            Rotate
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
