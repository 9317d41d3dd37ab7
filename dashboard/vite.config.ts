/**
 * `npm run build:dashboard` writes dashboard/dist, which the admin listener serves. `npm run dashboard` is the same
 * with reloading: against a Sluice that runs (SLUICE_ADMIN, else 127.0.0.1:4101), or made-up data: `-- --mode feed`.
 */
import { defineConfig } from 'vite'
import { feed } from './dev/feed.ts'

export default defineConfig(({ mode }) => {
  const target = process.env['SLUICE_ADMIN'] ?? 'http://127.0.0.1:4101'
  return {
    root: import.meta.dirname,
    plugins: mode === 'feed' ? [feed()] : [],
    resolve: { conditions: ['@sluice/source', 'module', 'browser'] },
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact', development: false } },
    // A font as a data URL would break the content security policy
    build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 400 },
    server: {
      host: '127.0.0.1',
      ...(mode !== 'feed' && { proxy: { '/admin': { target, ws: true }, '/v1': { target, ws: true } } }),
    },
  }
})
