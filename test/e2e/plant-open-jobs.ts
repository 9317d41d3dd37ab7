/** Every job of the tenant is seen by each of its users. */
import { plant } from './plant.ts'

plant('/gateway/caller/caller.ts', '(userOf(caller) === null || job.user === userOf(caller))', 'true')
