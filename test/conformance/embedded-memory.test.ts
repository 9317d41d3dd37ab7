import { conformEmbedded } from './embedded-suites.ts'

conformEmbedded('memory')
