/** Who is signed in at the dashboard: codes that are good once, sessions that hold and end at every process. */
import { expect } from 'vitest'
import { MAX_CODES, MAX_SIGN_INS } from '../../src/core/ports/sign-ins.ts'
import type { Case } from './harness.ts'

const MINUTES = 60_000
const HOURS = 60 * MINUTES

export const signInCases: readonly Case[] = [
  {
    name: 'a code lets in once, in time, with its role',
    async run(open) {
      const { engine, clock } = await open()
      const { signIns } = engine
      await signIns.issue('a', 'operator', 10 * MINUTES)
      await signIns.issue('b', 'viewer', 10 * MINUTES)
      expect(await signIns.redeem('a', 'first', 12 * HOURS)).toBe('operator')
      expect(await signIns.redeem('a', 'second', 12 * HOURS)).toBeNull()
      expect(await signIns.redeem('unknown', 'second', 12 * HOURS)).toBeNull()
      expect(await signIns.keep('first', 12 * HOURS)).toBe('operator')
      expect(await signIns.keep('second', 12 * HOURS)).toBeNull()
      clock.leap(10 * MINUTES + 1)
      expect(await signIns.redeem('b', 'third', 12 * HOURS)).toBeNull()
    },
  },
  {
    name: 'a session lasts from its last use on, and until it is ended; a wall clock turned back lengthens neither',
    async run(open) {
      const { engine, clock } = await open()
      const { signIns } = engine
      for (const name of ['kept', 'ended', 'idle']) {
        await signIns.issue(name, 'admin', 10 * MINUTES)
        expect(await signIns.redeem(name, name, HOURS)).toBe('admin')
      }
      await signIns.issue('code', 'admin', 50 * MINUTES)
      clock.leap(50 * MINUTES)
      clock.jumpWall(-24 * HOURS)
      expect(await signIns.redeem('code', 'late', HOURS)).toBeNull()
      expect(await signIns.keep('kept', HOURS)).toBe('admin')
      await signIns.end('ended')
      expect(await signIns.keep('ended', HOURS)).toBeNull()
      clock.leap(50 * MINUTES)
      expect(await signIns.keep('idle', HOURS)).toBeNull()
      expect(await signIns.keep('kept', HOURS)).toBe('admin')
    },
  },
  {
    name: 'there is room for so many codes and sessions: those that end first make room',
    async run(open) {
      const { engine, clock } = await open()
      const { signIns } = engine
      for (let n = 0; n <= MAX_CODES; n++) {
        await signIns.issue(`c${n}`, 'viewer', 10 * MINUTES)
        clock.leap(10)
      }
      expect(await signIns.redeem('c0', 'none', HOURS)).toBeNull()
      expect(await signIns.redeem('c1', 's-1', HOURS)).toBe('viewer')
      for (let n = 0; n < MAX_SIGN_INS - 1; n++) {
        await signIns.issue('code', 'viewer', 10 * MINUTES)
        await signIns.redeem('code', `s${n}`, HOURS)
        clock.leap(10)
      }
      expect(await signIns.keep('s-1', HOURS)).toBe('viewer')
      await signIns.issue('code', 'viewer', 10 * MINUTES)
      expect(await signIns.redeem('code', 'last', HOURS)).toBe('viewer')
      expect(await signIns.keep('s0', HOURS)).toBeNull()
      expect(await signIns.keep('s-1', HOURS)).toBe('viewer')
      expect(await signIns.keep('last', HOURS)).toBe('viewer')
    },
  },
  {
    name: 'of those who use a code at once one gets in',
    async run(open) {
      const { engine } = await open()
      await engine.signIns.issue('a', 'admin', 10 * MINUTES)
      const all = await Promise.all(['x', 'y', 'z'].map((session) => engine.signIns.redeem('a', session, HOURS)))
      expect(all.filter((role) => role !== null)).toEqual(['admin'])
    },
  },
  {
    name: 'codes and sessions are the same at all processes of a fleet',
    needs: 'fleet',
    async run(open) {
      const a = await open()
      const b = await a.beside!()
      await a.engine.signIns.issue('code', 'operator', 10 * MINUTES)
      const both = await Promise.all(
        [a, b].map(({ engine }, n) => engine.signIns.redeem('code', `s${n}`, HOURS).then((role) => role ?? n)),
      )
      const [loser] = both.filter((each) => typeof each === 'number')
      expect(both.filter((each) => each === 'operator')).toHaveLength(1)
      const session = `s${1 - Number(loser)}`
      for (const { engine } of [a, b]) expect(await engine.signIns.keep(session, HOURS)).toBe('operator')
      expect(await a.engine.signIns.keep(`s${loser}`, HOURS)).toBeNull()
      await b.engine.signIns.end(session)
      expect(await a.engine.signIns.keep(session, HOURS)).toBeNull()
    },
  },
]
