/** What stands around every page: rail or tabs, foot, bars, toasts, dialogs. */
import { Component, type ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { Foot } from '../../src/core/live.ts'
import { bytes, clock, counted, duration } from './format.ts'
import { addKey, allKeys, lettersOn, setLetters, useKey } from './keys.ts'
import { PAGES, pageAt } from './pages/index.ts'
import { Button } from './parts/button.tsx'
import { Confirm, Dialog } from './parts/dialog.tsx'
import { Head } from './parts/head.tsx'
import { Icon } from './parts/icon.tsx'
import { Mark } from './parts/mark.tsx'
import { Choice } from './parts/tabs.tsx'
import { Toasts } from './parts/toast.tsx'
import { address, go, hrefOf } from './router.ts'
import { session, signOut } from './session.ts'
import { isSilent } from './silent.ts'
import { foot, hello, lost, pause, paused, serverNow, watch } from './socket.ts'
import { choice, setTheme, type Choice as ThemeChoice } from './theme.ts'

export function Shell() {
  const { state } = session.value
  if (state === 'asking') return null
  return state === 'none' ? <NoSession /> : <Frame />
}

function Frame() {
  const at = address.value
  const found = pageAt(at.path)
  const asked = JSON.stringify(found?.page.watch(found.params, at) ?? { t: 'watch', page: 'foot' })
  useEffect(() => watch(JSON.parse(asked)), [asked])
  const [isHelp, setHelp] = useState(false)
  useKey('?', 'all keys', () => setHelp(true))
  useEffect(() => {
    const remove = PAGES.flatMap(({ path, title, rail }) =>
      rail ? [addKey({ key: `g ${rail.key}`, what: title, run: () => go(path) })] : [],
    )
    return () => remove.forEach((one) => void one())
  }, [])
  const { page, params } = found ?? {}
  return (
    <div class={`frame ${lost.value === null ? '' : 'is-lost'} ${paused.value === null ? '' : 'is-paused'}`}>
      <a class="skip" href="#content" target="_self">
        To the content
      </a>
      <nav class="rail" aria-label="Pages">
        <a class="brand" href={hrefOf('/')}>
          <Logo />
          <span>Sluice</span>
        </a>
        <ul class="rail-pages">
          {PAGES.map(({ path, title, rail }) =>
            rail === undefined ? null : (
              <li key={path} class={rail.isTab ? '' : 'not-a-tab'}>
                <a href={hrefOf(path)} aria-current={isIn(path, at.path) ? 'page' : undefined} title={title}>
                  <Icon name={rail.icon} />
                  <span>{title}</span>
                  <kbd aria-hidden="true">g {rail.key}</kbd>
                </a>
              </li>
            ),
          )}
        </ul>
        <Health onHelp={() => setHelp(true)} />
      </nav>
      <main id="content" class="content">
        <Bars />
        <Guard key={at.path}>{page === undefined ? <NotFound /> : <page.component params={params ?? {}} />}</Guard>
        <div class="content-health">
          <Health onHelp={() => setHelp(true)} />
        </div>
      </main>
      <Toasts />
      <Confirm />
      {isHelp && <Help onClose={() => setHelp(false)} />}
    </div>
  )
}

const isIn = (path: string, current: string): boolean =>
  path === '/' ? current === '/' : current === path || current.startsWith(`${path}/`)

export const Logo = () => (
  <svg class="logo" width="24" height="20" viewBox="0 0 24 20" aria-hidden="true">
    <path class="logo-sand" d="M2.5 5.5h6M3.8 10h4.700M2.5 14.5h6" />
    <path class="logo-gate" d="M12.5 1.5v17" />
    <path class="logo-water" d="M16.5 10h5.5" />
  </svg>
)

function Bars() {
  const isLost = lost.value
  const isPaused = paused.value
  return (
    <div class="bars" role="status">
      {isLost !== null && (
        <p class="bar bar-bad">
          <Mark shape="bad" />
          <span>
            No word from Sluice for {duration(Math.floor(isLost.sinceMs / 1_000) * 1_000).replace('.0', '')}. Trying
            again.
            {isLost.atMs !== null && ` Figures are from ${clock(isLost.atMs)}.`}
          </span>
        </p>
      )}
      {isPaused !== null && (
        <p class="bar bar-warn">
          <span>
            <strong>Paused at {clock(isPaused.atMs)}</strong>, {counted(isPaused.events, 'event')} since. Sluice goes
            on.
          </span>
          <Button isSmall onClick={() => pause(false)}>
            Go on
          </Button>
        </p>
      )}
    </div>
  )
}

/** Health of Sluice itself, always in sight. */
function Health({ onHelp }: { readonly onHelp: () => void }) {
  const now = foot.value
  const told = hello.value
  return (
    <section class="health" aria-label="Health of Sluice">
      {now !== null && told !== null && (
        <ul>
          <li>{worst(now, told.engine)}</li>
          {now.nodes.filter(isSilent).map(({ id, silentMs }) => (
            <li key={id} class="faint" title="Its figures are left out">
              {id} silent for {duration(silentMs)}
            </li>
          ))}
          <li>{durableOf(now, told.durability)}</li>
          {now.logBytes !== null && (
            <li>
              Log {bytes(now.logBytes)}
              {now.maxLogBytes !== null && ` of ${bytes(now.maxLogBytes)}`}
            </li>
          )}
          {now.loopLagP99Ms !== null && <li>Loop lag p99 {duration(now.loopLagP99Ms)}</li>}
        </ul>
      )}
      <p class="health-foot">
        <button type="button" onClick={onHelp}>
          ? keys
        </button>
        {told !== null && <> · v{told.version}</>}
      </p>
    </section>
  )
}

const DURABLE = { memory: 'in memory only', process: 'crash-safe', power: 'power-safe' } as const

function worst({ storeError, deployments, nodes }: Foot, engine: string): ComponentChildren {
  const silent = nodes.filter(isSilent).length
  const bad = storeError !== null ? `store: ${storeError.message}` : null
  const care =
    deployments.out > 0
      ? `${deployments.out} of ${counted(deployments.all, 'deployment')} out`
      : silent > 0
        ? `${silent} of ${counted(nodes.length, 'node')} silent`
        : null
  if (bad !== null)
    return (
      <strong>
        <Mark shape="bad" label="broken" /> {bad}
      </strong>
    )
  if (care !== null)
    return (
      <strong>
        <Mark shape="warn" label="needs care" /> {care}
      </strong>
    )
  return (
    <>
      <Mark shape="well" label="well" /> <strong>{counted(nodes.length, 'node')}</strong>, {engine}
    </>
  )
}

/** Where something needs care the first line has not told how many nodes there are. */
function durableOf({ storeError, deployments, nodes }: Foot, durability: keyof typeof DURABLE): string {
  const words = DURABLE[durability]
  if (storeError !== null || deployments.out > 0 || nodes.some(isSilent))
    return `${counted(nodes.length, 'node')}, ${words}`
  return words[0].toUpperCase() + words.slice(1)
}

const NoSession = () => {
  const { value } = session
  return (
    <main class="alone">
      <Logo />
      <h1>You are not signed in here.</h1>
      {value.state === 'none' && value.why !== null && <p class="warn">{value.why}</p>}
      <p>On the machine that runs Sluice, print a new link. It works once, within ten minutes:</p>
      <pre class="code">sluice dashboard</pre>
      <p class="muted">
        Links for others: <code>sluice dashboard --role viewer</code>.
      </p>
    </main>
  )
}

const NotFound = () => (
  <>
    <Head title="Not found" />
    <p class="empty">
      There is no such page. <a href={hrefOf('/')}>Now</a> shows how things are, <a href={hrefOf('/jobs')}>Jobs</a> what
      was asked.
    </p>
  </>
)

/** A page that breaks takes neither the rail nor the live data with it. */
class Guard extends Component<{ readonly children: ComponentChildren }, { readonly error: Error | null }> {
  override state = { error: null as Error | null }
  static override getDerivedStateFromError = (error: Error) => ({ error })
  render() {
    const { error } = this.state
    if (error === null) return this.props.children
    return (
      <>
        <Head title="This page broke" />
        <p class="empty">
          The page could not be drawn: <code>{error.message}</code>. Sluice itself is not touched by that.{' '}
          <a href={location.pathname} target="_self">
            Load it again
          </a>
        </p>
      </>
    )
  }
}

const MORE_KEYS = [
  ['enter', 'open the row'],
  ['t', 'a chart as a table'],
  ['← →', 'read a chart’s values'],
  ['Esc', 'close'],
] as const

function Help({ onClose }: { readonly onClose: () => void }) {
  const { state } = session.value
  return (
    <Dialog title="Keys" onClose={onClose} class="help">
      <dl class="keys">
        {allKeys().map(({ key, what }) => (
          <div key={key}>
            <dt>
              <kbd>{key === ' ' ? 'space' : key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
        {MORE_KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input
          type="checkbox"
          checked={lettersOn.value}
          onChange={({ currentTarget }) => setLetters(currentTarget.checked)}
        />
        Letters are keys
      </label>
      <div class="help-foot">
        <Choice<ThemeChoice>
          label="Colours"
          value={choice.value}
          onChange={setTheme}
          options={[
            { value: 'dark', text: 'Dark' },
            { value: 'light', text: 'Light' },
            { value: 'system', text: 'System' },
          ]}
        />
        {state === 'in' && <Button onClick={() => void signOut()}>Sign out</Button>}
      </div>
      <p class="muted small">
        {state === 'in' && `Signed in as ${session.value.state === 'in' ? session.value.role : ''}. `}
        Times are local: {Intl.DateTimeFormat().resolvedOptions().timeZone}, {clock(serverNow())}.
      </p>
    </Dialog>
  )
}
