import { defineConfig } from 'vite'
import { tickets } from './tickets.ts'

const { SLUICE_URL = 'http://127.0.0.1:4100', SLUICE_API_KEY, SLUICE_MODEL = 'demo', PORT = '4190' } = process.env
const server = { host: '127.0.0.1', port: Number(PORT), strictPort: true }

export default defineConfig({
  root: import.meta.dirname,
  plugins: [tickets({ url: SLUICE_URL, key: SLUICE_API_KEY })],
  define: { __SLUICE_URL__: JSON.stringify(SLUICE_URL), __SLUICE_MODEL__: JSON.stringify(SLUICE_MODEL) },
  // In this repository the client's sources; your own project needs neither of these lines
  resolve: { conditions: ['@sluice/source', 'module', 'browser'] },
  oxc: { jsx: { runtime: 'automatic', importSource: 'react' } },
  server,
  preview: server,
})
