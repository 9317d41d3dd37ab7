import type { CreateProvider } from '../../../core/ports/provider.ts'
import type { SettingsOf } from '../../../settings/provider.ts'
import { createDemoProvider } from './provider.ts'
import type { demo } from './settings.ts'

export const create: CreateProvider<SettingsOf<typeof demo.shape>> = (_name, settings, { clock, ids }) =>
  createDemoProvider({ ...settings.demo, clock, ids })
