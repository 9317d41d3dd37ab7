/**
 * deploy/prometheus and deploy/grafana with a real Prometheus that scrapes two nodes, where one is on the PATH or
 * SLUICE_TEST_PROMETHEUS names it: all queries of the panels and alerts find something, and sums over both nodes are
 * what their clients did.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { dashboard, ROWS, text } from '../../scripts/grafana.ts'
import { type Server, startServer } from '../e2e/server.ts'
import { freePort } from '../free-port.ts'

const PROMETHEUS = find('prometheus', process.env['SLUICE_TEST_PROMETHEUS'])
const PROMTOOL = find('promtool', PROMETHEUS === null ? undefined : join(dirname(PROMETHEUS), 'promtool'))
const DEPLOY = join(import.meta.dirname, '../../deploy')
const ALERTS = join(DEPLOY, 'prometheus/alerts.yml')

const CONFIG = `
models:
  - { name: chat, provider: demo, price: { input: 1, output: 4 } }
  - { name: busy, provider: demo }
telemetry: { open_metrics: true }
durability: process
`
const CHATS = 6

it('the dashboard in deploy/grafana is what its list of panels makes', () => {
  expect(readFileSync(join(DEPLOY, 'grafana/sluice.json'), 'utf8')).toBe(text())
})

describe.skipIf(PROMTOOL === null)('promtool', () => {
  it('finds no fault with the alerts, which fire when they should, and else do not', () => {
    execFileSync(PROMTOOL!, ['test', 'rules', join(DEPLOY, 'prometheus/alerts.test.yml')], { stdio: 'pipe' })
    execFileSync(PROMTOOL!, ['check', 'rules', ALERTS], { stdio: 'pipe' })
  })
})

describe.skipIf(PROMETHEUS === null)('a real Prometheus', () => {
  let dir: string
  let prometheus: ChildProcess
  let url: string
  const nodes: Server[] = []

  beforeAll(async () => {
    nodes.push(...(await Promise.all([startServer(CONFIG), startServer(CONFIG)])))
    dir = mkdtempSync(join(tmpdir(), 'sluice-prometheus-'))
    // As it is shipped, but for the targets and the pace
    const shipped = parse(readFileSync(join(DEPLOY, 'prometheus/prometheus.yml'), 'utf8')) as any
    const [scrape] = shipped['scrape_configs']
    delete scrape['authorization']
    scrape['static_configs'] = [{ targets: nodes.map(({ adminUrl }) => new URL(adminUrl).host) }]
    shipped['global'] = { scrape_interval: '1s', evaluation_interval: '1s' }
    shipped['rule_files'] = [ALERTS]
    writeFileSync(join(dir, 'prometheus.yml'), stringify(shipped))
    const port = await freePort()
    url = `http://127.0.0.1:${port}`
    const options = [`--config.file=${join(dir, 'prometheus.yml')}`, `--storage.tsdb.path=${join(dir, 'data')}`]
    prometheus = spawn(PROMETHEUS!, [...options, `--web.listen-address=127.0.0.1:${port}`], { stdio: 'ignore' })
    await until('sum(up)', (up) => up === nodes.length)
    await load()
  })

  afterAll(async () => {
    prometheus?.kill('SIGKILL')
    await Promise.all(nodes.map((node) => node.stop()))
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true })
  })

  async function query(expression: string): Promise<ReadonlyArray<{ readonly value: readonly [number, string] }>> {
    const answer = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(expression)}`).catch(() => null)
    if (answer === null) return []
    const { status, data, error } = (await answer.json()) as any
    if (status !== 'success') throw new Error(`${expression}: ${error}`)
    return data['result']
  }
  const value = async (expression: string): Promise<number> => Number((await query(expression))[0]?.value[1])

  async function until(expression: string, isSo: (value: number) => boolean): Promise<void> {
    for (const from = performance.now(); !isSo(await value(expression)); ) {
      if (performance.now() - from > 60_000) throw new Error(`${expression} is ${await value(expression)}`)
      await new Promise((done) => setTimeout(done, 200))
    }
  }

  /** Of each node, one after the other: what the panels show. */
  async function load(): Promise<void> {
    await Promise.all(
      nodes.map(async ({ url, key }) => {
        const post = async (model: string, content: string, more: object = {}): Promise<void> => {
          const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
          const body = JSON.stringify({ model, messages: [{ role: 'user', content }], ...more })
          await (await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body })).text()
        }
        const slow = post('chat', 'Hi. demo: tokens=3 delay=1200', { stream: true })
        for (let i = 0; i < CHATS - 1; i++) {
          await post('chat', 'Hi. demo: tokens=20 delay=5', { stream: true })
          await new Promise((done) => setTimeout(done, 500))
        }
        await post('no-such-model', 'Hi.')
        await failing(url, key)
        await post('busy', 'Hi. demo: fail=429 retry_after=60', { sluice: { deadline_ms: 1_000 } })
        await slow
      }),
    )
    await until('sum(increase(sluice_ended_jobs_total[1m]))', (ended) => ended > 0)
  }

  /** A batch whose line is refused, and a webhook whose receiver is nowhere. */
  async function failing(url: string, key: string): Promise<void> {
    const call = async (path: string, body: object | FormData): Promise<{ readonly id: string }> => {
      const isForm = body instanceof FormData
      const headers = { authorization: `Bearer ${key}`, ...(!isForm && { 'content-type': 'application/json' }) }
      const answer = await fetch(url + path, { method: 'POST', headers, body: isForm ? body : JSON.stringify(body) })
      expect(answer.ok).toBe(true)
      return (await answer.json()) as { readonly id: string }
    }
    await call('/v1/webhooks', { url: 'https://receiver.invalid/' })
    const form = new FormData()
    const endpoint = '/v1/chat/completions'
    const line = { custom_id: '1', method: 'POST', url: endpoint, body: { model: 'no-such-model', messages: [] } }
    form.set('purpose', 'batch')
    form.set('file', new Blob([JSON.stringify(line)]), 'lines.jsonl')
    const { id } = await call('/v1/files', form)
    await call('/v1/batches', { input_file_id: id, endpoint, completion_window: '24h' })
    await call('/v1/jobs', { request: { model: 'chat', messages: [{ role: 'user', content: 'Hi. demo: fail=400' }] } })
  }

  it('counts over both nodes what their clients did', async () => {
    const done = 'sum(sluice_ended_jobs_total{model="chat",state="done"})'
    await expect.poll(() => value(done)).toBe(CHATS * nodes.length)
    expect(await value('sum(sluice_ttft_seconds_count{model="chat"})')).toBe(CHATS * nodes.length)
    const tokens = ((CHATS - 1) * 20 + 3) * nodes.length
    expect(await value('sum(sluice_tokens_total{model="chat",kind="completion"})')).toBe(tokens)
    expect(await value('count(sluice_processes)')).toBe(nodes.length)
  })

  it('the parts of a first token’s time, but for its delivery, add up to it', async () => {
    const [parts, whole] = [
      await value('sum(sluice_ttft_part_seconds_sum{model="chat",part!="delivery"})'),
      await value('sum(sluice_ttft_seconds_sum{model="chat"})'),
    ]
    expect(Math.abs(parts - whole)).toBeLessThan(1e-6)
  })

  const queries = ROWS.flatMap(({ panels }) =>
    panels.flatMap(({ title, queries }) => queries.map(([legend, expression]) => ({ title, legend, expression }))),
  )
  /** Only who has a broker in front has these. */
  const OF_BROKERS = /sluice_(intake|kafka)_/
  it.each(queries.filter(({ expression }) => !OF_BROKERS.test(expression)))(
    'panel "$title" ($legend) finds something',
    async ({ expression }) => {
      const asked = expression.replaceAll(/\$(node|model)/g, '.*').replaceAll('$__rate_interval', '1m')
      await expect.poll(async () => (await query(asked)).length).toBeGreaterThan(0)
    },
  )

  const rules = (parse(readFileSync(ALERTS, 'utf8')) as any)['groups'].flatMap((group: any) => group['rules'])
  /** Only a fleet on Redis has these. */
  const OF_FLEETS = /sluice_(redis_away|uncoordinated|settings_differ)/
  const named: Array<[string, string]> = rules.map((rule: any) => [rule['alert'] ?? rule['record'], rule['expr']])
  it.each(named)('rule %s asks for numbers that there are', async (_name, expression) => {
    const names = [...new Set(expression.match(/\b(?:sluice|up)[\w:]*/g))].filter(
      (name) => !OF_FLEETS.test(name) && !OF_BROKERS.test(name) && name !== 'sluice',
    )
    for (const name of names) {
      await expect.poll(async () => (await query(name)).length).toBeGreaterThan(0)
    }
  })

  it('a panel of the dashboard asks nothing that its list does not', () => {
    const shown = (dashboard() as { panels: ReadonlyArray<{ targets?: ReadonlyArray<{ expr: string }> }> }).panels
    const asked = shown.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
    expect(asked).toEqual(queries.map(({ expression }) => expression))
  })
})

function find(name: string, told: string | undefined): string | null {
  if (told !== undefined && told !== '') return existsSync(told) ? told : null
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null
}
