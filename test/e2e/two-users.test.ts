/** T1 in the client library, over kills: nobody ever sees another user's text, nor is kept from its own. */
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { depth } from '../depth.ts'
import { liveTogether } from './two-users.ts'

const KILLS = depth(3, 2)
const plant = (name: string): string => join(import.meta.dirname, `plant-${name}.ts`)

it('two users of one tenant live at the same names', async () => {
  const { answers, kills, wrong } = await liveTogether(depth(12, 6), KILLS)
  expect(wrong).toEqual([])
  expect([answers, kills]).toEqual([2 * depth(12, 6), KILLS])
})

it.each(['shared-names', 'open-jobs'])('finds a planted leak: %s', async (name) => {
  const { wrong } = await liveTogether(4, 0, plant(name))
  expect(wrong.join('\n')).toMatch(/sees the other's|asks for the other's/)
})
