/** Line icons of 16 px, in the text's colour. */
const PATHS = {
  now: 'M1.5 8h3l2-5 3.5 10 2-5h2.5',
  jobs: 'M2 3.5h12M2 8h9M2 12.5h5.5',
  runs: 'M3 2.500v11M3 5h5.500M3 11h5.500M10.5 3h3v4h-3zM10.5 9h3v4h-3z',
  tenants:
    'M6 7.2a2.4 2.4 0 1 0 0-4.8 2.4 2.4 0 0 0 0 4.8ZM1.6 13.6c.3-2.6 2-4 4.4-4s4.1 1.4 4.4 4' +
    'M10.6 2.7a2.3 2.3 0 0 1 0 4.3M12.2 9.9c1.4.6 2.1 1.9 2.3 3.7',
  models: 'M2.5 2.500h11v4.500h-11zM2.5 9h11v4.500h-11zM5 4.750h.01M5 11.250h.01',
  playground: 'M2 2.800h12v8.200H7.500L4.5 13.700V11H2z',
  benchmarks: 'M3 13.500V8.500M8 13.500V2.500M13 13.500V6',
  changes: 'M4 14V2.500l8.5 3L4 8.8',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10ZM10.7 10.7 14 14',
  lock: 'M3.5 7h9v6.500h-9zM5.5 7V5a2.5 2.5 0 0 1 5 0v2',
} as const

export type IconName = keyof typeof PATHS

export const Icon = ({ name, size = 16 }: { readonly name: IconName; readonly size?: number }) => (
  <svg class="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
    <path d={PATHS[name]} />
  </svg>
)
