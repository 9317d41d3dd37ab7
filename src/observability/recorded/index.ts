import { attempts } from './attempts.ts'
import { firstToken } from './first-token.ts'
import { guards } from './guards.ts'
import { jobs } from './jobs.ts'
import { limits } from './limits.ts'
import type { By, Recorded } from './recorded.ts'
import { requests } from './requests.ts'
import { submits } from './submits.ts'
import { tokens } from './tokens.ts'

export const RECORDED: ReadonlyArray<(by: By) => Recorded> = [
  requests,
  submits,
  jobs,
  guards,
  limits,
  attempts,
  tokens,
  firstToken,
]
