import { attempts } from './attempts.ts'
import { firstToken } from './first-token.ts'
import { guards } from './guards.ts'
import { jobs } from './jobs.ts'
import { limits } from './limits.ts'
import type { Recorded } from './recorded.ts'
import { requests } from './requests.ts'

export const RECORDED: ReadonlyArray<() => Recorded> = [requests, jobs, guards, limits, attempts, firstToken]
