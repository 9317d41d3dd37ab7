/** `sluice models`: kill switches of models, through the admin listener of the running server. */
import type { Group } from './command.ts'
import { switches } from './switches.ts'

export const command: Group = { about: 'Models of the running server.', commands: switches('model') }
