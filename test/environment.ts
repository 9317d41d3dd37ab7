/** What a process of the tests needs of ours: its programs, and the cache of compiled sources (vitest.config.ts). */
export function bareEnvironment(): Record<string, string> {
  const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env
  return { PATH, NODE_COMPILE_CACHE }
}
