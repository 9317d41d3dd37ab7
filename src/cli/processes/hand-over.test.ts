import cluster from 'node:cluster'
import { afterEach, expect, it } from 'vitest'
import { chooseHandOver } from './hand-over.ts'

const before = cluster.schedulingPolicy
afterEach(() => {
  cluster.schedulingPolicy = before
})

it('this Node hands connections out in turn; one that is not known shares its socket, and that is told', () => {
  expect(chooseHandOver()).toBeNull()
  expect(cluster.schedulingPolicy).toBe(before)
  expect(chooseHandOver('25.0.0')).toMatch(/^Node 25\.0\.0 is not known/)
  expect(cluster.schedulingPolicy).toBe(cluster.SCHED_NONE)
})
