import { conformRedis } from './redis-suites.ts'

conformRedis('power', 'power')
