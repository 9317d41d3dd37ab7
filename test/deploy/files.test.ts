/** What `deploy` has is read by others' programs: that it names what there is can be checked here. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { afterAll, expect, it, vi } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import type { RedisSettings } from '../../src/app/redis.ts'
import { checkRedis } from '../../src/cli/checks.ts'
import { envName, LEAVES } from '../../src/config/leaves.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { freePort } from '../free-port.ts'
import { ADMIN_KEY, startTestApp } from '../front/app.ts'

const DEPLOY = join(import.meta.dirname, '../../deploy')
const FILES = readdirSync(DEPLOY, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(DEPLOY, join(entry.parentPath, entry.name)))
const text = (name: string): string => readFileSync(join(DEPLOY, name), 'utf8')
type Document = any
const documents = (name: string): Document[] => parseAllDocuments(text(name)).map((each) => each.toJS() as Document)

const dir = mkdtempSync(join(tmpdir(), 'sluice-deploy-'))
afterAll(() => rmSync(dir, { recursive: true }))
function load(yaml: string): Config {
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, yaml)
  return loadConfig({ file, env: { SLUICE_ADMIN_KEY: ADMIN_KEY } }).config
}

it('each variable of ours is a setting', () => {
  const known = new Set([...LEAVES.map(envName), 'SLUICE_CONFIG'])
  const named = FILES.flatMap((name) =>
    [...text(name).matchAll(/\bSLUICE_[A-Z_]+/g)].map(([each]) => `${each} ${name}`),
  )
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter((each) => !known.has(each.split(' ')[0]))).toEqual([])
})

it('settings of the compose file and of Kubernetes load, and leave time for a stop', () => {
  const compose = parse(text('compose/compose.yaml'), { merge: true }) as Document
  const config = load(text('compose/sluice.yaml'))
  const node = compose.services['sluice-1']
  expect(Number.parseInt(node.stop_grace_period, 10) * 1_000).toBeGreaterThanOrEqual(config.workers.drainMs + 10_000)
  const [map, ...others] = documents('kubernetes/sluice.yaml')
  const fleet = load(map.data['sluice.yaml'])
  const pods = others.filter(({ kind }) => kind === 'Deployment').map(({ spec }) => spec.template.spec)
  expect(pods).toHaveLength(2)
  for (const pod of pods) {
    const preStopMs = (pod.containers[0].lifecycle?.preStop.sleep.seconds ?? 0) * 1_000
    expect(pod.terminationGracePeriodSeconds * 1_000).toBeGreaterThanOrEqual(fleet.workers.drainMs + preStopMs + 10_000)
  }
  expect(config.engine).toEqual(fleet.engine)
})

it.each(['rabbitmq', 'kafka'])('its settings load with %s in front, as the comment says', (broker) => {
  const lines = text('compose/sluice.yaml').split('\n')
  const other = broker === 'rabbitmq' ? 'kafka' : 'rabbitmq'
  const shown = lines
    .filter((line) => !line.startsWith(`# intakes: { ${other}`))
    .map((line) => line.replace(/^# (intakes|pools): /, '$1: ').replace(/intake: \w+/, `intake: ${broker}`))
  const compose = parse(text('compose/compose.yaml'), { merge: true }) as Document
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, shown.join('\n'))
  const { RABBITMQ_URL } = compose.services['sluice-1'].environment
  const { config } = loadConfig({ file, env: { SLUICE_ADMIN_KEY: ADMIN_KEY, RABBITMQ_URL } })
  expect(config.pools).toMatchObject([{ name: 'text', intake: broker }])
})

it('what the compose file mounts and builds is there', () => {
  const { services } = parse(text('compose/compose.yaml'), { merge: true }) as Document
  const paths = Object.values(services).flatMap((service: Document) => [
    ...(service.volumes ?? []).map((each: string) => each.split(':')[0]),
    ...(service.build === undefined ? [] : [join(service.build.context, service.build.dockerfile)]),
  ])
  const own = paths.filter((path) => path.includes('/'))
  expect(own.length).toBeGreaterThan(5)
  for (const path of own) expect(existsSync(join(DEPLOY, 'compose', path)), path).toBe(true)
})

it('a dashboard is mounted where Grafana looks for it, and its data is in the container of Prometheus', () => {
  const { services } = parse(text('compose/compose.yaml'), { merge: true }) as Document
  const mounted = (services.grafana.volumes as readonly string[]).map((each) => each.split(':')[1])
  const { providers } = parse(text('grafana/provisioning/dashboards/sluice.yaml')) as Document
  expect(mounted).toContain(join(providers[0].options.path, 'sluice.json'))
  const { datasources } = parse(text('compose/prometheus-datasource.yaml')) as Document
  expect(Object.keys(services)).toContain(new URL(datasources[0].url).hostname)
})

const REDIS = process.env['SLUICE_TEST_REDIS']
it.skipIf(REDIS === undefined)('its Redis, as it is started, keeps what Sluice is to keep', async () => {
  const { services } = parse(text('compose/compose.yaml'), { merge: true }) as Document
  const [, ...args] = (services.redis.command as string).trim().split(/\s+/)
  const own = mkdtempSync(join(tmpdir(), 'sluice-compose-'))
  const port = await freePort()
  const redis = spawn(REDIS!, [...args, '--port', String(port), '--dir', own], { stdio: 'ignore' })
  try {
    const config = load(text('compose/sluice.yaml'))
    const { redis: settings } = config.engine as { redis: RedisSettings }
    const url = `redis://127.0.0.1:${port}`
    const found = await vi.waitFor(async () => {
      const checks = await checkRedis({ ...settings, url }, config.durability)
      expect(checks.map(({ detail }) => detail).join()).not.toContain('refuses connections')
      return checks
    }, 20_000)
    expect(found.filter(({ verdict }) => verdict === 'failed')).toEqual([])
    expect(found.length).toBeGreaterThan(0)
  } finally {
    // One that can't write into its folder any more does not end by SIGTERM
    const ended = once(redis, 'exit')
    redis.kill('SIGKILL')
    await ended
    rmSync(own, { recursive: true, force: true })
  }
})

it('its proxy is the one for fleets, without TLS', () => {
  const fleet = text('nginx/sluice-fleet.conf').replace('listen 443 ssl;', 'listen 4100;')
  const lines = fleet.replaceAll('10.0.0.11', 'sluice-1').replaceAll('10.0.0.12', 'sluice-2').split('\n').slice(1)
  const kept = lines.filter((line) => !/server_name/.test(line))
  const own = text('compose/nginx.conf').split('\n').slice(1)
  // Docker's own name server; each gateway is looked up again
  expect(own.filter((line) => /^ {2}server .* resolve;/.test(line))).toHaveLength(4)
  const compared = own.filter((line) => !/^ {2}(?:zone|resolver) /.test(line))
  expect(compared.map((line) => line.replace(' resolve;', ';'))).toEqual(kept)
})

it('Kubernetes: what selects something selects something, and probes are ours', () => {
  const all = [...documents('kubernetes/sluice.yaml'), ...documents('kubernetes/autoscaling.yaml')]
  const deployments = all.filter(({ kind }) => kind === 'Deployment')
  const labels = deployments.map(({ spec }) => spec.template.metadata.labels)
  const fits = (wanted: object) =>
    labels.some((own) => Object.entries(wanted).every(([key, value]) => own[key] === value))
  for (const { kind, spec } of all) {
    if (kind === 'Service') expect(fits(spec.selector)).toBe(true)
    if (spec?.selector?.matchLabels !== undefined) expect(fits(spec.selector.matchLabels)).toBe(true)
    if (kind === 'HorizontalPodAutoscaler')
      expect(deployments.map(({ metadata }) => metadata.name)).toContain(spec.scaleTargetRef.name)
  }
  for (const { spec } of deployments)
    for (const { startupProbe, readinessProbe, livenessProbe } of spec.template.spec.containers) {
      expect([startupProbe, readinessProbe, livenessProbe].map(({ httpGet }) => httpGet.path)).toEqual([
        ...['/readyz', '/readyz', '/livez'],
      ])
    }
})

it('metrics that are scaled by are told, and probes answer', async () => {
  const app = await startTestApp()
  try {
    const metrics = await fetch(`http://127.0.0.1:${app.adminPort}/metrics`, {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    })
    const told = await metrics.text()
    const named = [...text('kubernetes/autoscaling.yaml').matchAll(/metric: \{ name: (\w+)/g)].map(([, name]) => name)
    expect(named).toHaveLength(1)
    for (const name of named) expect(told).toContain(name)
    for (const path of ['/readyz', '/livez'])
      expect((await fetch(`http://127.0.0.1:${app.adminPort}${path}`)).status).toBe(200)
  } finally {
    await app.stop()
  }
})

it('the image runs as nobody special, and its health check is the readiness', () => {
  const lines = text('Dockerfile').split('\n')
  expect(lines.some((line) => line === 'USER node')).toBe(true)
  expect(lines.find((line) => line.startsWith('ENTRYPOINT'))).toBe(
    'ENTRYPOINT ["node", "node_modules/sluice/bin/sluice.js"]',
  )
  expect(text('Dockerfile')).toContain('127.0.0.1:4101/readyz')
})

const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0
it.skipIf(!hasSystemd)('the unit is valid, as far as systemd can tell without its program', () => {
  expect(existsSync(join(DEPLOY, dirname('systemd/sluice.service')))).toBe(true)
  const { stderr } = spawnSync('systemd-analyze', ['verify', join(DEPLOY, 'systemd/sluice.service')], {
    encoding: 'utf8',
  })
  const said = stderr
    .split('\n')
    .filter((line) => line.includes('sluice.service') && !/not executable|No such file/.test(line))
  expect(said).toEqual([])
})
