import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { RangeName } from '../../../src/core/live.ts'
import { clock, minute } from '../format.ts'
import { useKey } from '../keys.ts'
import { address, go, RANGE_WORDS, RANGES, rangeOf, setParams, setRange, shifted } from '../router.ts'
import { foot, pause, paused, serverNow } from '../socket.ts'
import { Button } from './button.tsx'
import { Icon } from './icon.tsx'
import { Choice } from './tabs.tsx'

interface HeadProps {
  readonly title: ComponentChildren
  /** The page that this one is part of: "Jobs / 8M2JX". */
  readonly of?: { readonly title: string; readonly to: string }
  readonly hasSearch?: boolean
  /** Range, pause, and the node where there are several. */
  readonly hasRange?: boolean
  /** Buttons at the right end. */
  readonly children?: ComponentChildren
}

/** The head of a page; every page draws it first. */
export function Head({ title, of, hasSearch = false, hasRange = false, children }: HeadProps) {
  useEffect(() => {
    document.title = typeof title === 'string' ? `${title} · Sluice` : 'Sluice'
  }, [title])
  return (
    <header class="head">
      <h1 tabIndex={-1}>
        {of !== undefined && (
          <a class="head-of" href={of.to}>
            {of.title}
            <span aria-hidden="true"> / </span>
          </a>
        )}
        {title}
      </h1>
      <div class="head-right">
        {hasSearch && <Search />}
        {hasRange && <Nodes />}
        {hasRange && <Ranges />}
        {hasRange && <Pause />}
        {children}
      </div>
    </header>
  )
}

/** Job id, tenant, key's last four, user, trace id: no query language. */
function Search() {
  const input = useRef<HTMLInputElement>(null)
  const [isOpen, setOpen] = useState(false)
  const reach = (): void => {
    setOpen(true)
    // At once, for what is typed next; on a phone it has to be drawn first
    input.current?.select()
    if (document.activeElement !== input.current) requestAnimationFrame(() => input.current?.select())
  }
  useKey('/', 'search', reach)
  return (
    <form
      class={`search ${isOpen ? 'is-open' : ''}`}
      role="search"
      onSubmit={(event) => {
        event.preventDefault()
        const text = input.current?.value.trim() ?? ''
        if (text !== '') go(`/jobs?q=${encodeURIComponent(text)}`)
      }}
    >
      <button type="button" class="search-open" aria-label="Search" onClick={reach}>
        <Icon name="search" />
      </button>
      <input
        ref={input}
        type="search"
        placeholder="Job, key, tenant, user"
        aria-label="Search: job, key’s last four, tenant, user, trace"
        autocomplete="off"
        spellcheck={false}
        onBlur={() => setOpen(false)}
        onKeyDown={({ key, currentTarget }) => key === 'Escape' && currentTarget.blur()}
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  )
}

function Ranges() {
  const range = rangeOf(address.value.params)
  const shift = (by: -1 | 1): void => setRange(shifted(range, by, serverNow()))
  useKey('[', 'range before', () => shift(-1))
  useKey(']', 'range after', () => shift(1))
  return (
    <>
      {typeof range !== 'string' && (
        <span class="past" title="A range of the past: it is not live">
          {clock(range.fromMs, serverNow()).replace(/:\d\d$/, '')} to {minute(range.toMs)}
          <Button isSmall kind="quiet" label="Back to live" onClick={() => setRange('15m')}>
            ×
          </Button>
        </span>
      )}
      <Choice<RangeName>
        label="Range"
        class="ranges"
        value={typeof range === 'string' ? range : null}
        onChange={setRange}
        options={RANGES.map((name) => ({
          value: name,
          text:
            name === range ? (
              <>
                <i class="live-dot" aria-hidden="true" />
                {RANGE_WORDS[name]}
              </>
            ) : (
              RANGE_WORDS[name]
            ),
          label: `the last ${RANGE_WORDS[name]}`,
        }))}
      />
      <select
        class="ranges-small"
        aria-label="Range"
        value={typeof range === 'string' ? range : ''}
        onChange={({ currentTarget }) => setRange(currentTarget.value as RangeName)}
      >
        {typeof range !== 'string' && <option value="">past</option>}
        {RANGES.map((name) => (
          <option key={name} value={name}>
            {RANGE_WORDS[name]}
          </option>
        ))}
      </select>
    </>
  )
}

function Pause() {
  const isPaused = paused.value !== null
  const isPast = typeof rangeOf(address.value.params) !== 'string'
  useKey(' ', 'pause, go on', () => pause(), !isPast)
  return (
    <Button
      class="pause"
      hint="space"
      isPressed={isPaused}
      off={isPast ? 'A range of the past is never live.' : null}
      onClick={() => pause()}
    >
      {isPaused ? 'Go on' : 'Pause'}
    </Button>
  )
}

/** Only where there are several: figures are sums over all of them, or of one. */
function Nodes() {
  const nodes = foot.value?.nodes ?? []
  const chosen = address.value.params.get('node') ?? ''
  if (nodes.length < 2 && chosen === '') return null
  return (
    <select
      class="nodes"
      aria-label="Node"
      value={chosen}
      onChange={({ currentTarget }) => setParams({ node: currentTarget.value || null })}
    >
      <option value="">all {nodes.length} nodes</option>
      {nodes.map(({ id, silentMs }) => (
        <option key={id} value={id}>
          {id}
          {silentMs > 3_000 ? ' (silent)' : ''}
        </option>
      ))}
      {chosen !== '' && !nodes.some(({ id }) => id === chosen) && <option value={chosen}>{chosen} (gone)</option>}
    </select>
  )
}
