/** The gateways that are laid beside each other: each as its own documentation starts it, on one core. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  answers,
  ended,
  freePort,
  hasNginx,
  KEY,
  launch,
  nginx,
  passthrough,
  portkey,
  type Running,
  sluice,
  type Target,
} from '../targets.ts'
import type { DialectName } from './dialects.ts'

export interface Gateway extends Target {
  /** More headers for a dialect; absent: none. */
  headersOf?(running: Running, dialect: DialectName): readonly string[]
  /** Under which name it has the model of this script; absent: the script itself. */
  modelOf?(dialect: DialectName, script: string): string
}

/** Without a gateway: what client and upstream take alone. */
export const direct: Gateway = {
  name: 'the upstream alone',
  start: (upstream) =>
    Promise.resolve({
      url: `http://127.0.0.1:${upstream}`,
      pid: process.pid,
      headers: [],
      stop: () => Promise.resolve(),
    }),
}

const withPortkey = (): Gateway | null => {
  const target = portkey()
  if (target === null) return null
  return {
    ...target,
    headersOf: ({ headers }, dialect) =>
      dialect === 'messages'
        ? [...headers.filter((each) => !each.startsWith('x-portkey-provider')), 'x-portkey-provider: anthropic']
        : headers,
  }
}

/** 1.107.0 was published by somebody else: a version that is known to be theirs is pinned. */
const LITELLM = '1.106.2'

/** Installed on demand into an environment of its own; null when that is refused. */
function litellm(): Gateway | null {
  const dir = join(tmpdir(), 'sluice-bench-litellm')
  const entry = join(dir, 'bin/litellm')
  if (!existsSync(entry)) {
    try {
      execFileSync('python3', ['-m', 'venv', dir], { stdio: 'ignore', timeout: 60_000 })
      const packages = ['install', '-q', `litellm[proxy]==${LITELLM}`]
      execFileSync(join(dir, 'bin/pip'), packages, { stdio: 'ignore', timeout: 400_000 })
    } catch {
      return null
    }
  }
  return {
    name: `LiteLLM ${LITELLM}`,
    modelOf: (dialect, script) => (dialect === 'messages' ? `claude-${script}` : script),
    async start(upstream, priority) {
      const port = await freePort()
      const folder = mkdtempSync(join(tmpdir(), 'sluice-litellm-'))
      const base = `http://127.0.0.1:${upstream}`
      const entryOf = (pattern: string, provider: string, url: string): string =>
        `  - model_name: "${pattern}"\n    litellm_params: { model: "${provider}/${pattern}", api_base: "${url}", ` +
        'api_key: sk-mock-0123456789 }\n'
      writeFileSync(
        join(folder, 'litellm.yaml'),
        `model_list:\n${entryOf('mock-*', 'openai', `${base}/v1`)}${entryOf('claude-mock-*', 'anthropic', base)}` +
          `litellm_settings: { num_retries: 0, telemetry: false }\ngeneral_settings: { master_key: ${KEY} }\n`,
      )
      const args = ['--config', join(folder, 'litellm.yaml'), '--host', '127.0.0.1', '--port', String(port)]
      const child = launch(priority, entry, [...args, '--num_workers', '1'], {
        LITELLM_LOCAL_MODEL_COST_MAP: 'True',
        LITELLM_LOG: 'ERROR',
      })
      await answers(`http://127.0.0.1:${port}/health/liveliness`, (response) => response.ok, 180_000)
      return {
        url: `http://127.0.0.1:${port}`,
        pid: child.pid!,
        headers: [`authorization: Bearer ${KEY}`],
        async stop() {
          await ended(child, 'SIGKILL')
          rmSync(folder, { recursive: true, force: true })
        },
      }
    },
  }
}

/** In the order of the tables. */
export const GATEWAYS: ReadonlyArray<readonly [name: string, make: () => Gateway | null]> = [
  ['direct', () => direct],
  ['nginx', () => (hasNginx() ? nginx : null)],
  ['node', () => passthrough],
  ['sluice', () => sluice],
  ['portkey', withPortkey],
  ['litellm', litellm],
]
