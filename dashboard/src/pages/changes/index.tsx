import { call } from '../../api.ts'
import { clock, whole } from '../../format.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { Button } from '../../parts/button.tsx'
import { Head } from '../../parts/head.tsx'
import { Mark, type Shape } from '../../parts/mark.tsx'
import { attempt, toast } from '../../parts/toast.tsx'
import { address, hrefOf, setParams } from '../../router.ts'
import { serverNow, changes as told } from '../../socket.ts'
import './changes.css'
import { type Entry, isOwn, KINDS, type Kind, kindOf, linkOf, shapeOf, type Undo, undoOf, wordsOf } from './entries.ts'

const AGAIN_MS = 5_000

interface Row {
  readonly key: string
  readonly atMs: number
  readonly kind: Kind
  readonly shape: Shape
  readonly words: string
  readonly to: string | null
  readonly by: string
  readonly undo: Undo | null
}

export function Changes() {
  const audit = useLoad<{ data: readonly Entry[] }>('/admin/audit?limit=500', AGAIN_MS)
  const kind = address.value.params.get('kind')
  const own = told.value.filter(isOwn).map(
    (row): Row => ({
      key: `${row.atMs} ${row.kind}`,
      atMs: row.atMs,
      kind: 'deployments',
      shape: row.kind === 'deployment-out' ? 'bad' : 'well',
      words: row.words.map(({ text }) => text).join(''),
      to: row.words.find(({ to }) => to !== undefined)?.to ?? null,
      by: 'Sluice',
      undo: null,
    }),
  )
  const rows = [...(audit.data?.data ?? []).map(rowOf), ...own]
    .filter((row) => kind === null || row.kind === kind)
    .sort((one, other) => other.atMs - one.atMs)
  const undo = (row: Row): void =>
    void attempt(async () => {
      if (row.undo === null) return
      await call(row.undo.method, row.undo.path, row.undo.body ?? {})
      await audit.reload()
      toast(`Undone: ${row.words}.`)
    })
  return (
    <>
      <Head title="Changes" hasSearch />
      <section class="chips" aria-label="Filter">
        <div class="chips-group">
          {KINDS.map(({ value, text }) => (
            <button
              key={value}
              type="button"
              class={`chip ${kind === value ? 'is-on' : ''}`}
              aria-pressed={kind === value}
              onClick={() => setParams({ kind: kind === value ? null : value })}
            >
              {text}
            </button>
          ))}
        </div>
      </section>
      {audit.error !== null && <Trouble error={audit.error} />}
      {audit.data !== null && rows.length === 0 && (
        <p class="empty">
          {kind !== null
            ? 'No change of this kind.'
            : 'Nothing was changed yet. Config reloads, keys, limits, deployments, bench runs and looks at text are ' +
              'listed here.'}
        </p>
      )}
      <ul class={`change-list ${audit.isSlow ? 'is-slow' : ''}`}>
        {rows.map((row) => (
          <li key={row.key}>
            <time title={whole(row.atMs)}>{clock(row.atMs, serverNow())}</time>
            <Mark shape={row.shape === 'none' ? 'config' : row.shape} />
            <span class="changes-words">{row.to === null ? row.words : <a href={hrefOf(row.to)}>{row.words}</a>}</span>
            <span class="muted changes-by">{row.by}</span>
            <span class="changes-undo">
              {row.undo !== null && (
                <Button
                  isSmall
                  needs={row.kind === 'deployments' ? 'operator' : 'admin'}
                  label={`Undo: ${row.words}`}
                  onClick={() => undo(row)}
                >
                  Undo
                </Button>
              )}
            </span>
          </li>
        ))}
      </ul>
    </>
  )
}

const rowOf = (entry: Entry): Row => ({
  key: `${entry.at_ms} ${entry.request_id} ${entry.action} ${entry.target}`,
  atMs: entry.at_ms,
  kind: kindOf(entry.action),
  shape: shapeOf(entry.action),
  words: wordsOf(entry),
  to: linkOf(entry),
  by: entry.from === '' ? '' : `from ${entry.from}`,
  undo: undoOf(entry),
})
