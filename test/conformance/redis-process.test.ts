import { conformRedis } from './redis-suites.ts'

conformRedis('process', 'process', { suites: ['durability'] })
