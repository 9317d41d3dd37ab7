/** Compiles what `sluice serve` loads, so that the first start is as quick as any other. Run by `npm ci` in a clone. */
import { startFast } from '../bin/start-fast.js'

startFast()
await Promise.all(['cli/serve', 'app', 'routing/providers/demo/adapter'].map((path) => import(`../src/${path}.ts`)))
