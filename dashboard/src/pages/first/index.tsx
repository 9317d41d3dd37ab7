/** The first start: nothing was ever submitted. The first token turns it into Now. */
import { connect, type Sluice } from '@sluice/client'
import { useEffect, useRef, useState } from 'preact/hooks'
import { call } from '../../api.ts'
import { useLoad } from '../../load.tsx'
import { Button, CopyButton } from '../../parts/button.tsx'
import { Head } from '../../parts/head.tsx'
import { Mark } from '../../parts/mark.tsx'
import { Panel } from '../../parts/panel.tsx'
import { Choice } from '../../parts/tabs.tsx'
import { attempt } from '../../parts/toast.tsx'
import { hrefOf } from '../../router.ts'
import { forbids } from '../../session.ts'
import { foot, hello, now } from '../../socket.ts'
import './first.css'
import { LANGUAGES, type Language, snippet } from './request.ts'

interface Model {
  readonly id: string
  readonly deployments: ReadonlyArray<{ readonly provider: string; readonly state?: string }>
}

const TRIES = [
  ['50 documents at once', '/playground?try=burst'],
  ['type while it answers', '/playground?try=type'],
  ['cut my connection', '/playground?try=cut'],
  ['kill the worker', '/playground?try=kill'],
] as const

/** A client of the playground's session: its job goes on when Now takes this page's place. */
async function submit(model: string, text: string, onText: (text: string) => void): Promise<Sluice> {
  const { url, ticket } = await call<{ url: string; ticket: string }>('POST', '/admin/playground/session', {})
  const client = connect({ url: new URL(url, location.href).origin, ticket: async () => ticket })
  const job = client.submit({ request: { model, stream: true, messages: [{ role: 'user', content: text }] } })
  await job.accepted
  void (async () => {
    for await (const { type } of job) if (type === 'chunk') onText(job.text)
    client.close()
  })().catch(() => client.close())
  return client
}

export function First() {
  const models = useLoad<{ readonly data: readonly Model[] }>('/admin/models')
  const names = hello.value?.models ?? []
  const model = names.includes('demo') ? 'demo' : (names[0] ?? 'demo')
  const [text, setText] = useState('Tell me of rivers.')
  const [answer, setAnswer] = useState<string | null>(null)
  const [isBusy, setBusy] = useState(false)
  const [key, setKey] = useState<string | null>(null)
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => input.current?.focus(), [])
  const send = (event: Event): void => {
    event.preventDefault()
    if (text.trim() === '' || isBusy) return
    setBusy(true)
    setAnswer('')
    void attempt(async () => {
      await submit(model, text, setAnswer)
    }).finally(() => setBusy(false))
  }
  const base = hello.value?.publicUrl ?? `${location.protocol}//${location.hostname}:4100`
  return (
    <>
      <Head title="Now" />
      <div class="columns first-top">
        <section aria-labelledby="first-title">
          <h2 id="first-title">Sluice is up. Send the first request.</h2>
          <p class="muted">
            {model === 'demo'
              ? 'The built-in model needs no provider and no key of anyone. Its tokens go the whole way: '
              : `It goes to ${model}. Its tokens go the whole way: `}
            accepted, queued, stored, then sent to you.
          </p>
          <form class="first-input" onSubmit={send}>
            <input
              ref={input}
              value={text}
              aria-label="Your request"
              autocomplete="off"
              onInput={({ currentTarget }) => setText(currentTarget.value)}
            />
            <Button type="submit" kind="primary" hint="⏎" needs="operator" isBusy={isBusy}>
              Send
            </Button>
          </form>
          {answer !== null && answer !== '' && <p class="first-answer">{answer}</p>}
          <ul class="tries" aria-label="Things to try">
            {TRIES.map(([words, to]) => (
              <li key={words}>
                <a class="pill" href={hrefOf(to)}>
                  {words}
                </a>
              </li>
            ))}
          </ul>
        </section>
        <Code asked={{ base, model, text, key }} onKey={setKey} />
      </div>
      <Empties />
      <GhostLine model={model} />
      <div class="columns first-lists">
        <Panel title="What is here">
          <ul class="first-list">
            {(models.data?.data ?? []).map(({ id, deployments }) => (
              <li key={id}>
                <Mark shape={deployments.length > 0 ? 'well' : 'waits'} />
                <b>{id}</b>
                <span class="muted">
                  {deployments.some(({ provider }) => provider === 'demo')
                    ? 'built in; paced like a model, faults by prompt'
                    : `${[...new Set(deployments.map(({ provider }) => provider))].join(', ')}; not called yet`}
                </span>
              </li>
            ))}
          </ul>
        </Panel>
        <Panel title="When you are ready">
          <ul class="first-list">
            <li>
              <a href={hrefOf('/tenants')}>Make a key for your product</a>
              <kbd>g t</kbd>
            </li>
            <li>
              <a href={hrefOf('/models')}>Add your models to sluice.yaml</a>
              <kbd>g m</kbd>
            </li>
            <li>
              <a href={hrefOf('/benchmarks')}>Measure: sluice bench run</a>
              <kbd>g b</kbd>
            </li>
          </ul>
        </Panel>
      </div>
    </>
  )
}

interface CodeProps {
  readonly asked: Parameters<typeof snippet>[1]
  readonly onKey: (key: string) => void
}

function Code({ asked, onKey }: CodeProps) {
  const [language, setLanguage] = useState<Language>('curl')
  const [before, key, after] = snippet(language, asked)
  const make = (): void =>
    void attempt(async () =>
      onKey((await call<{ key: string }>('POST', '/admin/keys', { name: 'first requests' })).key),
    )
  return (
    <section class="first-code" aria-label="The same request by program">
      <div class="first-code-head">
        <Choice<Language>
          label="Language"
          value={language}
          onChange={setLanguage}
          options={LANGUAGES.map((value) => ({ value, text: value }))}
        />
        <span class="first-code-right">
          {asked.key === null && (
            <Button isSmall off={forbids('admin')} onClick={make}>
              Put a key in
            </Button>
          )}
          <CopyButton text={before + key + after} />
        </span>
      </div>
      <pre class="code" tabIndex={0}>
        {before}
        <b class="first-key">{key}</b>
        {after}
      </pre>
      <p class="muted">
        {asked.key !== null && 'The key is shown this once: copy it now. '}
        Your OpenAI SDK works as it is: set <code>base_url</code> to <code>{asked.base}/v1</code>.
      </p>
    </section>
  )
}

/** What will stand here: no chart is drawn of nothing. */
function Empties() {
  const latest = now.value
  const goal = latest?.good.goal ?? null
  const figures = [
    ['TTFT p95', 'first token', '–'],
    ['TPOT p95', 'each one after', '–'],
    ['Tokens out', 'a second', '–'],
    ['Waiting', 'jobs in line', String(latest?.waitingJobs.value ?? 0)],
    ['Good answers', goal === null ? '' : `goal ${Math.round(goal * 100)}%`, '–'],
    ['Spend today', 'by the ledger', '$0'],
  ] as const
  return (
    <dl class="first-figures">
      {figures.map(([label, note, value]) => (
        <div key={label}>
          <dt>
            {label} <span class="faint">{note}</span>
          </dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

const GHOSTS = [
  ['a chat, in turns', [34, 26, 40], [90, 70]],
  ['50 documents, side by side', [120, 128, 110], [180]],
  ['another tenant: not held up by either', [30, 22], [46, 60, 52]],
] as const

const GhostLine = ({ model }: { readonly model: string }) => (
  <Panel
    title="The line"
    sub="This is where your requests will pass: left of the gate they wait, right of it they are served"
  >
    <div class="ghosts" role="img" aria-label={`Nothing waits and nothing runs; ${model} is ready.`}>
      {GHOSTS.map(([words, waits, runs]) => (
        <div key={words} class="ghost-row">
          <span class="muted small">{words}</span>
          <span class="ghost-waits">
            {waits.map((width, at) => (
              <i key={`${at} ${width}`} style={{ '--of': `${width}px` }} />
            ))}
          </span>
          <span class="ghost-runs">
            {runs.map((width, at) => (
              <i key={`${at} ${width}`} style={{ '--of': `${width}px` }} />
            ))}
          </span>
        </div>
      ))}
    </div>
    {foot.value !== null && foot.value.deployments.out > 0 && (
      <p class="warn small">
        <Mark shape="warn" /> {foot.value.deployments.out} of {foot.value.deployments.all} deployments are out;{' '}
        <a href={hrefOf('/models')}>Models</a> tells why.
      </p>
    )}
  </Panel>
)
