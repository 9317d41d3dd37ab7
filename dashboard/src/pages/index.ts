/**
 * The table of pages: where each one is, how one gets there, and what it watches. A page is a folder beside this file
 * whose component draws all below the rail, its head (parts/head.tsx) first.
 */
import type { ComponentType } from 'preact'
import type { LiveAsk } from '../../../src/core/live.ts'
import type { IconName } from '../parts/icon.tsx'
import { type Address, match } from '../router.ts'
import { Benchmarks } from './benchmarks/index.tsx'
import { Changes } from './changes/index.tsx'
import { Job } from './job/index.tsx'
import { Jobs } from './jobs/index.tsx'
import { Models } from './models/index.tsx'
import { Now } from './now/index.tsx'
import { watchNow } from './now/watch.ts'
import { Playground } from './playground/index.tsx'
import { Run } from './run/index.tsx'
import { Runs } from './runs/index.tsx'
import { Tenants } from './tenants/index.tsx'

export interface PageProps {
  /** Of the path: {job: "job_01…"} */
  readonly params: Readonly<Record<string, string>>
}

export interface Page {
  /** "/jobs/:job" */
  readonly path: string
  /** Of the document and the rail. */
  readonly title: string
  /** In the rail, with the letter after g; a page without one belongs to the page whose path begins its own. */
  readonly rail?: { readonly key: string; readonly icon: IconName; readonly isTab: boolean }
  readonly component: ComponentType<PageProps>
  /** What its socket is asked for; asked again when the address changes. */
  readonly watch: (params: Readonly<Record<string, string>>, address: Address) => LiveAsk
}

const foot = (): LiveAsk => ({ t: 'watch', page: 'foot' })
/** What is measured of deployments, and what changes by itself, is told on Now. */
const measured = (): LiveAsk => ({ t: 'watch', page: 'now', range: '15m', rows: 'deployment', node: null })

export const PAGES: readonly Page[] = [
  { path: '/', title: 'Now', rail: { key: 'n', icon: 'now', isTab: true }, component: Now, watch: watchNow },
  {
    path: '/jobs',
    title: 'Jobs',
    rail: { key: 'j', icon: 'jobs', isTab: true },
    component: Jobs,
    watch: (_, { params }) => ({ t: 'watch', page: 'jobs', filter: filterOf(params) }),
  },
  {
    path: '/jobs/:job',
    title: 'Job',
    component: Job,
    watch: ({ job }) => ({ t: 'watch', page: 'job', job }),
  },
  {
    path: '/runs',
    title: 'Runs',
    rail: { key: 'r', icon: 'runs', isTab: false },
    component: Runs,
    watch: foot,
  },
  { path: '/runs/:tenant/:run', title: 'Run', component: Run, watch: foot },
  {
    path: '/tenants',
    title: 'Tenants',
    rail: { key: 't', icon: 'tenants', isTab: true },
    component: Tenants,
    watch: foot,
  },
  { path: '/tenants/:tenant', title: 'Tenants', component: Tenants, watch: foot },
  {
    path: '/models',
    title: 'Models',
    rail: { key: 'm', icon: 'models', isTab: true },
    component: Models,
    watch: measured,
  },
  { path: '/models/:name', title: 'Models', component: Models, watch: measured },
  {
    path: '/playground',
    title: 'Playground',
    rail: { key: 'p', icon: 'playground', isTab: true },
    component: Playground,
    // What is stored and not shown yet: the jobs' frames tell it while the playground's own connection is cut
    watch: () => ({ t: 'watch', page: 'jobs', filter: {} }),
  },
  {
    path: '/benchmarks',
    title: 'Benchmarks',
    rail: { key: 'b', icon: 'benchmarks', isTab: false },
    component: Benchmarks,
    watch: foot,
  },
  { path: '/benchmarks/:id', title: 'Benchmark', component: Benchmarks, watch: foot },
  {
    path: '/changes',
    title: 'Changes',
    rail: { key: 'c', icon: 'changes', isTab: false },
    component: Changes,
    watch: measured,
  },
]

/** The page of an address, with what its path names; null: there is none. */
export function pageAt(path: string): { readonly page: Page; readonly params: Record<string, string> } | null {
  for (const page of PAGES) {
    const params = match(page.path, path)
    if (params !== null) return { page, params }
  }
  return null
}

/** The filter of the jobs' list, as the address has it: ?state=done&tenant=acme&kind=late */
export function filterOf(params: URLSearchParams): Extract<LiveAsk, { page: 'jobs' }>['filter'] {
  const names = ['state', 'tenant', 'model', 'kind'] as const
  return Object.fromEntries(names.flatMap((name) => (params.get(name) ? [[name, params.get(name)]] : [])))
}
