/** Line icons of 16 px, in the text's colour. */
const PATHS = {
  now: 'M1.5 8h3l2-5 3.5 10 2-5h2.5',
  jobs: 'M2 3.5h12M2 8h9M2 12.5h5.5',
  tenants:
    'M6 7.2a2.4 2.4 0 1 0 0-4.8 2.4 2.4 0 0 0 0 4.8ZM1.6 13.6c.3-2.6 2-4 4.4-4s4.1 1.4 4.4 4M10.6 2.7a2.3 2.3 0 0 1 0 4.3M12.2 9.9c1.4.6 2.1 1.9 2.3 3.7',
  models: 'M2.5 2.500h11v4.500h-11zM2.5 9h11v4.500h-11zM5 4.750h.01M5 11.250h.01',
  playground: 'M2 2.800h12v8.200H7.500L4.5 13.700V11H2z',
  benchmarks: 'M3 13.500V8.500M8 13.500V2.500M13 13.500V6',
  changes: 'M4 14V2.500l8.5 3L4 8.8',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10ZM10.7 10.7 14 14',
  lock: 'M3.5 7h9v6.500h-9zM5.5 7V5a2.5 2.5 0 0 1 5 0v2',
  copy: 'M5.5 5.500h8v8h-8zM10.5 5.500v-3h-8v8h3',
  cross: 'm3.5 3.5 9 9m0-9-9 9',
  down: 'm4 6.5 4 4 4-4',
  right: 'm6.5 4 4 4-4 4',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  keys: 'M1.5 4h13v8h-13zM4 6.700h.01M6.7 6.700h.01M9.3 6.700h.01M12 6.700h.01M5 9.500h6',
  sun: 'M8 10.800a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.600ZM8 1.200v1.500M8 13.300v1.500M1.2 8h1.500M13.3 8h1.500M3.2 3.200l1 1M11.8 11.800l1 1M12.8 3.200l-1 1M4.2 11.800l-1 1',
  moon: 'M13.5 9.800A6 6 0 0 1 6.2 2.500a6 6 0 1 0 7.3 7.300Z',
  system: 'M2 3h12v8H2zM6 14h4M8 11v3',
  out: 'M6.5 2.500h-4v11h4M6 8h8M11 5l3 3-3 3',
} as const

export type IconName = keyof typeof PATHS

export const Icon = ({ name, size = 16 }: { readonly name: IconName; readonly size?: number }) => (
  <svg class="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
    <path d={PATHS[name]} />
  </svg>
)
