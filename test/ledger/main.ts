/**
 * Is what is charged what the provider reports (M1)? Over cancels, clients that leave, cuts, limits, fail-overs and
 * crashes, on both engines: npm run test:ledger. The one on Redis needs a redis-server.
 *
 *   node test/ledger/main.ts [embedded] [redis] [--requests 20000] [--kills 12] [--seed 1]
 *
 * Fails where the ledgers differ.
 */
import { parseArgs } from 'node:util'
import { NO_REDIS } from '../redis/server.ts'
import { tableOf } from './judge.ts'
import { runLedger } from './run.ts'

const SHOWN_FAULTS = 20
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    requests: { type: 'string', default: '20000' },
    kills: { type: 'string', default: '12' },
    seed: { type: 'string', default: '1' },
  },
})
const log = (line: string): void => console.log(line)
const engines = (['embedded', 'redis'] as const).filter((e) => positionals.length === 0 || positionals.includes(e))
for (const engine of engines) {
  if (engine === 'redis' && NO_REDIS) {
    log('redis: skipped, there is no redis-server')
    continue
  }
  const { requests, kills, seed } = values
  log(`${engine}: ${requests} requests, ${kills} crashes, seed ${seed}`)
  const report = await runLedger({ engine, requests: Number(requests), kills: Number(kills), seed: Number(seed), log })
  log(`${report.calls} calls of the provider; ${report.answered} answered, ${report.unanswered} cut by a crash`)
  for (const line of tableOf(report)) log(line)
  const tried = [...report.deployments].sort().map(([name, attempts]) => `${name} ${attempts}`)
  log(`${report.movedOn} jobs were tried at more than one deployment; attempts: ${tried.join(', ')}`)
  for (const fault of report.faults.slice(0, SHOWN_FAULTS)) log(`FAULT ${fault}`)
  if (report.faults.length > 0) {
    log(`${report.faults.length} faults`)
    process.exitCode = 1
  }
}
process.exit()
