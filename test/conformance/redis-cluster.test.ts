import { DEEP } from '../depth.ts'
import { conformRedis } from './redis-suites.ts'

conformRedis('cluster', 'power', {
  cluster: true,
  ...(!DEEP && { suites: ['conversations', 'documents', 'files', 'fleet'] }),
})
