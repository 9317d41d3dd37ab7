import type { ComponentChildren } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { useKey } from '../keys.ts'

export interface Column<Row> {
  readonly id: string
  readonly title: ComponentChildren
  readonly cell: (row: Row) => ComponentChildren
  readonly align?: 'right'
  /** Takes what is left, and is cut with an ellipsis. */
  readonly isWide?: boolean
  /** Left out where the page is narrower: it is in the row's own page. */
  readonly from?: 'phone' | 'tablet' | 'desk'
}

interface TableProps<Row> {
  readonly label: string
  readonly columns: readonly Column<Row>[]
  readonly rows: readonly Row[]
  readonly keyOf: (row: Row) => string
  /** Where a row leads; enter or a click opens it. */
  readonly hrefOf?: (row: Row) => string
  readonly open?: (row: Row) => void
  /** j and k move through this table, enter opens. */
  readonly hasKeys?: boolean
  readonly chosen?: string | null
  readonly selected?: ReadonlySet<string>
  readonly onSelect?: (key: string) => void
  readonly classOf?: (row: Row) => string
  readonly empty?: ComponentChildren
}

const ROW = 36
/** More rows than this are windowed: what is out of sight is air of the same height. */
const MOST_DRAWN = 120
const SPARE = 20

export function Table<Row>(props: TableProps<Row>) {
  const { label, columns, rows, keyOf, hrefOf, open, chosen, selected, onSelect, classOf, empty } = props
  const body = useRef<HTMLTableSectionElement>(null)
  const [cursor, setCursor] = useState<string | null>(null)
  const [from, to] = useWindow(body, rows.length)
  const opens = open !== undefined || hrefOf !== undefined

  const focus = (key: string): void => {
    setCursor(key)
    // At once, for the Enter that comes next; a row that was not in view has to be drawn first
    const reach = (): boolean => {
      const row = body.current?.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`)
      row?.focus({ preventScroll: true })
      row?.scrollIntoView({ block: 'nearest' })
      return row != null
    }
    if (!reach()) requestAnimationFrame(reach)
  }
  const move = (by: number): void => {
    if (rows.length === 0) return
    const at = rows.findIndex((row) => keyOf(row) === cursor)
    focus(keyOf(rows[at === -1 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))]))
  }
  const openAt = (row: Row, event?: Event): void => {
    if (event?.target instanceof Element && event.target.closest('a, button, input, label') !== null) return
    if (open !== undefined) open(row)
    else if (hrefOf !== undefined)
      body.current?.querySelector<HTMLAnchorElement>(`[data-key="${CSS.escape(keyOf(row))}"] a`)?.click()
  }
  useKey('j', 'next row', () => move(1), props.hasKeys === true)
  useKey('k', 'row before', () => move(-1), props.hasKeys === true)
  useKey(
    'x',
    'select the row',
    () => cursor !== null && onSelect?.(cursor),
    props.hasKeys === true && onSelect !== undefined,
  )

  if (rows.length === 0 && empty !== undefined) return <p class="empty">{empty}</p>
  return (
    <table class="table" aria-label={label}>
      <thead>
        <tr>
          {columns.map((column) => (
            <th key={column.id} scope="col" class={lookOf(column)}>
              {column.title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody ref={body}>
        {from > 0 && <tr aria-hidden="true" class="table-air" style={{ height: `${from * ROW}px` }} />}
        {rows.slice(from, to).map((row) => {
          const key = keyOf(row)
          const look = [
            key === chosen && 'is-chosen',
            selected?.has(key) && 'is-selected',
            opens && 'is-open',
            classOf?.(row),
          ]
          return (
            <tr
              key={key}
              data-key={key}
              class={look.filter(Boolean).join(' ')}
              tabIndex={opens ? (key === (cursor ?? keyOf(rows[0])) ? 0 : -1) : undefined}
              aria-selected={selected?.has(key)}
              onClick={(event) => openAt(row, event)}
              onFocus={() => setCursor(key)}
              onKeyDown={(event) => {
                if (event.key !== 'Enter' || event.target !== event.currentTarget) return
                openAt(row)
              }}
            >
              {columns.map((column, at) => (
                <td key={column.id} class={lookOf(column)}>
                  {at === 0 && hrefOf !== undefined && (
                    <a class="row-link" href={hrefOf(row)} aria-label={`Open ${key}`} tabIndex={-1} />
                  )}
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          )
        })}
        {to < rows.length && (
          <tr aria-hidden="true" class="table-air" style={{ height: `${(rows.length - to) * ROW}px` }} />
        )}
      </tbody>
    </table>
  )
}

const lookOf = <Row,>({ align, isWide, from }: Column<Row>): string =>
  [align === 'right' && 'right', isWide && 'wide', from && `from-${from}`].filter(Boolean).join(' ')

/** The rows that are drawn: all of a short list, else those around what is in view. */
function useWindow(body: { readonly current: HTMLElement | null }, rows: number): readonly [number, number] {
  const [first, setFirst] = useState(0)
  const isWindowed = rows > MOST_DRAWN
  useEffect(() => {
    if (!isWindowed) return
    const look = (): void => {
      const top = body.current?.getBoundingClientRect().top ?? 0
      const at = Math.max(0, Math.floor(-top / ROW) - SPARE)
      setFirst(at - (at % 10))
    }
    look()
    addEventListener('scroll', look, { passive: true })
    return () => removeEventListener('scroll', look)
  }, [isWindowed, body])
  useLayoutEffect(() => {
    if (!isWindowed) setFirst(0)
  }, [isWindowed])
  if (!isWindowed) return [0, rows]
  return [Math.min(first, rows), Math.min(rows, first + MOST_DRAWN)]
}
