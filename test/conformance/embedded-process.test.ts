import { conformEmbedded } from './embedded-suites.ts'

conformEmbedded('process')
