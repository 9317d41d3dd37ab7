/** The settings as JSON Schema, for editors. */
import { z } from 'zod'
import { settings } from './schema.ts'

export const jsonSchema = (): object => ({
  title: 'Sluice',
  description: 'sluice.yaml',
  ...z.toJSONSchema(settings, { io: 'input' }),
})
