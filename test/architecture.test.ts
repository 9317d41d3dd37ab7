/** The dependency rule holds here, and a violation of each of its rules is found where one is planted. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { checkArchitecture, type Rule } from '../scripts/architecture.ts'

const root = join(import.meta.dirname, '..')
const trees: string[] = []
afterEach(() => {
  for (const tree of trees.splice(0)) rmSync(tree, { recursive: true, force: true })
})

/** A small tree that keeps all rules, with some files added or replaced. */
function plant(files: Readonly<Record<string, string>>) {
  const tree = mkdtempSync(join(tmpdir(), 'sluice-arch-'))
  trees.push(tree)
  const clean = {
    'package.json': '{"dependencies": {"zod": "1"}, "devDependencies": {"vitest": "1"}}',
    'src/core/clock.ts':
      "import { Buffer } from 'node:buffer'\nexport const now = () => Date.now() + Buffer.length\nsetTimeout(now, 1)\n",
    'src/core/ids.ts': 'export const random = () => Math.random()\n',
    'src/config/load.ts':
      "import { z } from 'zod'\nimport '../routing/providers/index.ts'\nimport '../settings/fields.ts'\n" +
      'export const env = process.env\nexport default z\n',
    'src/coordinator/scheduler/scheduler.ts':
      "import type { now } from '../../core/clock.ts'\nimport type { Lane } from './lanes.ts'\n" +
      'export const at = (date: Date, lane: Lane, clock: typeof now) => [clock(), new Date(0), date, lane]\n',
    'src/coordinator/scheduler/lanes.ts':
      'export interface Lane { setTimeout: number; env: typeof process.env }\n' +
      'export const lane = { setTimeout: 2, performance: 1 }\n',
    'src/coordinator/scheduler/lanes.test.ts':
      "import '../../gateway/gateway.ts'\nsetTimeout(() => Math.random(), 1)\n",
    'src/coordinator/scheduler/testing/walk.ts': "import 'vitest'\nDate.now()\n",
    'src/gateway/gateway.ts': "import '../core/ids.ts'\nimport './http/call.ts'\nimport './routes/jobs.ts'\n",
    'src/gateway/deps.ts': '',
    'src/gateway/http/call.ts': "import type {} from '../deps.ts'\n",
    'src/gateway/routes/jobs.ts': "import '../http/call.ts'\nimport '../deps.ts'\n",
    'src/routing/providers/index.ts': "import './openai/settings.ts'\nvoid import('./openai/provider.ts')\n",
    'src/routing/providers/openai/provider.ts':
      "import '../../../core/clock.ts'\nimport './settings.ts'\nimport '../http/client.ts'\nimport '../errors.ts'\n",
    'src/routing/providers/openai/settings.ts':
      "import { z } from 'zod'\nimport '../../../settings/fields.ts'\nimport '../http/settings.ts'\nexport default z\n",
    'src/routing/providers/demo/provider.ts': '',
    'src/routing/providers/azure/adapter.ts': "import '../openai/provider.ts'\n",
    'src/routing/providers/errors.ts': '',
    'src/routing/providers/http/client.ts': '',
    'src/routing/providers/http/settings.ts': '',
    'src/dialects/chat/render.ts': "import '../sse.ts'\nimport { Buffer } from 'node:buffer'\nexport default Buffer\n",
    'src/dialects/native/render.ts': '',
    'src/dialects/sse.ts': '',
    'src/engines/embedded/open.ts': "import '../shared/codec.ts'\n",
    'src/engines/redis/open.ts': '',
    'src/engines/shared/codec.ts': '',
    'src/admission/guards/max-context.ts': "import { z } from 'zod'\nexport default z\n",
    'src/settings/fields.ts': "import { z } from 'zod'\nimport '../core/ids.ts'\nexport default z\n",
    'src/admission/settings.ts': "import './guards/max-context.ts'\n",
    'src/delivery/feed.ts': '',
    'src/mock/server.ts': "import '../core/clock.ts'\n",
    'src/bench/main.ts': "import '../core/clock.ts'\n",
    'src/app.ts':
      "import './config/load.ts'\nimport './coordinator/scheduler/scheduler.ts'\nimport './gateway/gateway.ts'\n" +
      "import './routing/providers/openai/provider.ts'\n",
    'src/cli/main.ts':
      "import '../config/load.ts'\nvoid import('../app.ts')\nvoid import('../mock/server.ts')\n" +
      "void import('../../client/src/index.ts')\n",
    'src/core/frames.ts': 'export interface Frame { t: string }\n',
    'src/core/fold.ts': 'export const fold = 1\n',
    'client/src/index.ts':
      "import type { Frame } from '../../src/core/frames.ts'\nimport '../../src/core/fold.ts'\n" +
      "import './job.ts'\nexport const frame: Frame = { t: String(Date.now()) }\n",
    'client/src/job.ts': 'setTimeout(() => {}, 1)\n',
    'dashboard/src/main.tsx':
      "import { render } from 'preact'\nimport type { Frame } from '../../src/core/frames.ts'\n" +
      "import '../../src/core/measure.ts'\nimport './style.css'\nexport const page = <Frame />\nrender(page)\n",
    'dashboard/src/style.css': '',
    'src/core/measure.ts': '',
    'test/server.ts': '',
  }
  for (const [path, text] of Object.entries({ ...clean, ...files })) {
    mkdirSync(dirname(join(tree, path)), { recursive: true })
    writeFileSync(join(tree, path), text)
  }
  return checkArchitecture(tree)
}

it('holds in this tree, all of which was read', () => {
  const { modules, violations, folders } = checkArchitecture(root)
  expect(violations).toEqual([])
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.ts') && !/\.(?:test|d)\.ts$/.test(path) && !path.includes('/testing/'),
  )
  expect(modules).toBe(sources.length)
  expect(modules).toBeGreaterThan(60)
  // Imports were seen too, not only files
  expect([...folders.get('app')!].sort()).toEqual(
    expect.arrayContaining(['config', 'core', 'delivery', 'coordinator', 'engines', 'gateway', 'routing', 'worker']),
  )
})

it('finds nothing in a clean tree', () => {
  const { modules, violations } = plant({})
  expect(violations).toEqual([])
  expect(modules).toBe(34)
})

const PLANTED: ReadonlyArray<readonly [Rule, string, string]> = [
  ['core-imports-nothing', 'src/core/job.ts', "import type {} from '../delivery/feed.ts'"],
  ['core-imports-nothing', 'src/core/job.ts', "import { z } from 'zod'"],
  ['folders-meet-in-app', 'src/gateway/gateway.ts', "import { at } from '../coordinator/scheduler/scheduler.ts'"],
  ['folders-meet-in-app', 'src/gateway/gateway.ts', "import type { Lane } from '../coordinator/scheduler/lanes.ts'"],
  ['folders-meet-in-app', 'src/gateway/gateway.ts', "export * from '../gateway/../coordinator/scheduler/lanes.ts'"],
  [
    'folders-meet-in-app',
    'src/gateway/gateway.ts',
    "export const f = (lane: import('../coordinator/scheduler/lanes.ts').Lane) => lane",
  ],
  ['folders-meet-in-app', 'src/gateway/gateway.ts', "void import('../config/load.ts')"],
  ['folders-meet-in-app', 'src/cli/jobs.ts', "import '../coordinator/scheduler/scheduler.ts'"],
  ['folders-meet-in-app', 'src/app.ts', "import './mock/server.ts'"],
  ['only-cli-imports-app', 'src/worker/pool.ts', "import '../app.ts'"],
  ['only-cli-imports-app', 'src/bench/main.ts', "import '../app.ts'"],
  ['providers-within-routing', 'src/worker/pool.ts', "import '../routing/providers/openai/provider.ts'"],
  ['outsiders-see-core', 'src/bench/main.ts', "import '../coordinator/scheduler/lanes.ts'"],
  ['outsiders-see-core', 'src/mock/server.ts', "import '../gateway/gateway.ts'"],
  ['client-shares-types', 'client/src/job.ts', "import '../../src/core/frames.ts'"],
  ['client-shares-types', 'client/src/job.ts', "import type { Lane } from '../../src/coordinator/scheduler/lanes.ts'"],
  ['client-shares-types', 'client/src/job.ts', "import { z } from 'zod'"],
  ['client-shares-types', 'client/src/job.ts', "import { connect } from 'node:net'"],
  ['client-shares-types', 'client/src/job.ts', "import '../../src/core/clock.ts'"],
  ['client-shares-types', 'src/core/fold.ts', "import { now } from './clock.ts'"],
  ['client-shares-types', 'src/core/fold.ts', "import type { Frame } from './frames.ts'"],
  ['client-shares-types', 'src/core/fold.ts', "import { Buffer } from 'node:buffer'"],
  ['client-shares-types', 'src/dialects/blocks.ts', "import type { Frame } from '../core/frames.ts'"],
  ['client-shares-types', 'src/dialects/ui/chunks.ts', "import { Buffer } from 'node:buffer'"],
  ['dashboard-shares-types', 'dashboard/src/main.tsx', "import '../../src/core/frames.ts'"],
  ['dashboard-shares-types', 'dashboard/src/main.tsx', "import type { Lane } from '../../src/coordinator/lanes.ts'"],
  ['dashboard-shares-types', 'dashboard/src/main.tsx', "import { z } from 'zod'"],
  ['dashboard-shares-types', 'dashboard/src/main.tsx', "import '../../client/src/index.ts'"],
  ['dashboard-shares-types', 'dashboard/src/main.tsx', "import './other.ts'"],
  ['parses', 'client/src/job.ts', 'const = 1'],
  ['sources-stand-alone', 'src/worker/pool.ts', "import '../../test/server.ts'"],
  ['sources-stand-alone', 'src/coordinator/scheduler/fairness.ts', "import './lanes.test.ts'"],
  ['sources-stand-alone', 'src/coordinator/scheduler/fairness.ts', "import './testing/walk.ts'"],
  ['sources-stand-alone', 'src/coordinator/scheduler/fairness.ts', "import './missing.ts'"],
  ['declared-dependencies', 'src/worker/pool.ts', "import 'vitest/config'"],
  ['declared-dependencies', 'src/worker/pool.ts', "import '@scope/name'"],
  ['no-circles', 'src/gateway/http/call.ts', "import '../routes/jobs.ts'"],
  ['no-circles', 'src/coordinator/scheduler/lanes.ts', "import type {} from './scheduler.ts'"],
  ['no-circles', 'src/coordinator/scheduler/lanes.ts', "export type At = typeof import('./scheduler.ts').at"],
  ['no-circles', 'src/gateway/http/body.ts', "import type {} from '../routes/jobs.ts'"],
  ['no-circles', 'src/gateway/http/body.ts', "import '../gateway.ts'"],
  ['no-circles', 'src/gateway/deps.ts', "import type {} from './http/call.ts'"],
  ['siblings-stand-apart', 'src/routing/providers/demo/provider.ts', "import '../azure/adapter.ts'"],
  ['siblings-stand-apart', 'src/routing/providers/http/client.ts', "import '../demo/provider.ts'"],
  ['siblings-stand-apart', 'src/dialects/chat/request.ts', "import '../native/render.ts'"],
  ['siblings-stand-apart', 'src/engines/redis/jobs/list.ts', "import type {} from '../../embedded/open.ts'"],
  ['siblings-stand-apart', 'src/engines/shared/codec.ts', "import '../redis/open.ts'"],
  ['settings-stand-alone', 'src/routing/providers/demo/settings.ts', "import './provider.ts'"],
  ['settings-stand-alone', 'src/routing/providers/demo/settings.ts', "import '../../../delivery/feed.ts'"],
  ['settings-stand-alone', 'src/worker/pool.ts', "import '../settings/fields.ts'"],
  ['settings-stand-alone', 'src/routing/providers/index.ts', "import './openai/provider.ts'"],
  ['providers-within-routing', 'src/config/schema.ts', "import '../routing/providers/openai/provider.ts'"],
  ['settings-stand-alone', 'src/gateway/settings.ts', "import type {} from './gateway.ts'"],
  ['folders-meet-in-app', 'src/worker/pool.ts', "import '../admission/settings.ts'"],
  ['decisions-are-pure', 'src/coordinator/scheduler/lanes.ts', "import { now } from '../../core/clock.ts'\nnow()"],
  ['decisions-are-pure', 'src/dialects/chat/request.ts', "import 'node:fs'"],
  ['decisions-are-pure', 'src/admission/estimate.ts', "import 'node:crypto'"],
  ['providers-within-routing', 'src/config/schema.ts', "import '../routing/providers/openai/provider.ts'"],
  ['folders-meet-in-app', 'src/config/schema.ts', "import '../admission/guards/max-context.ts'"],
  ['sources-stand-alone', 'src/cli/follow.ts', "import '../../client/src/job.ts'"],
  ['sources-stand-alone', 'src/worker/pool.ts', "import '../../client/src/index.ts'"],
  ['environment-in-config', 'src/worker/pool.ts', 'export const home = process.env.HOME'],
  ['environment-in-config', 'src/bench/main.ts', "export const home = process['env']"],
  ['environment-in-config', 'src/worker/pool.ts', 'const { env } = process\nexport default env'],
  ['environment-in-config', 'src/worker/pool.ts', "import { env } from 'node:process'\nexport default env"],
  ['environment-in-config', 'src/worker/pool.ts', 'export const home = globalThis.process.env.HOME'],
  ['time-in-clock', 'src/worker/pool.ts', 'export const now = Date.now()'],
  ['time-in-clock', 'src/worker/pool.ts', 'export const now = new Date()'],
  ['time-in-clock', 'src/core/ids.ts', 'export const now = performance.now()'],
  ['time-in-clock', 'src/worker/pool.ts', 'setTimeout(() => {}, 1)'],
  ['time-in-clock', 'src/worker/pool.ts', 'globalThis.setInterval(() => {}, 1)'],
  ['time-in-clock', 'src/worker/pool.ts', 'export const timers = { setImmediate }'],
  [
    'time-in-clock',
    'src/worker/pool.ts',
    "import { setTimeout as wait } from 'node:timers/promises'\nexport default wait",
  ],
  ['time-in-clock', 'src/worker/pool.ts', 'export const signal = AbortSignal.timeout(5)'],
  ['randomness-in-ids', 'src/core/clock.ts', 'export const dice = Math.random()'],
  ['randomness-in-ids', 'src/worker/pool.ts', 'export const id = crypto.randomUUID()'],
  [
    'randomness-in-ids',
    'src/worker/pool.ts',
    "import { randomBytes as bytes } from 'node:crypto'\nexport default bytes",
  ],
  ['parses', 'src/worker/pool.ts', 'const = 1'],
]

it.each(PLANTED)('planted: %s: %s: %s', (rule, path, text) => {
  const { violations } = plant({ [path]: `${text}\n` })
  expect(new Set(violations.map((v) => v.rule))).toEqual(new Set([rule]))
  if (rule !== 'no-circles') expect(violations[0].at.split(':')[0]).toBe(path)
})

/** A name's end tells its clock: `...AtMs` is wall-clock time, `...Mono` monotonic ms. */
const mixesClocks = (line: string): boolean =>
  /\b#?\w*AtMs\b\s*(?::[^=]*)?=?[^=>]*\bmonoMs\(\)/.test(line) || /\b#?\w*Mono\b\s*(?::|=)[^=>]*\bwallMs\(\)/.test(line)

it('no name says one clock and holds the other', () => {
  expect(mixesClocks('this.#openedAtMs = clock.monoMs()')).toBe(true)
  expect(mixesClocks('  untilMono: clock.wallMs() + 5,')).toBe(true)
  expect(mixesClocks('const [endedAtMs, nowMono] = [clock.wallMs(), 0]')).toBe(false)
  const found = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) =>
      readFileSync(join(root, 'src', path), 'utf8')
        .split('\n')
        .flatMap((line, i) => (mixesClocks(line) ? [`${path}:${i + 1} ${line.trim()}`] : [])),
    )
  expect(found).toEqual([])
})
