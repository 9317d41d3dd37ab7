import { Head } from '../../parts/head.tsx'

/** The first start: nothing was ever submitted. The first token turns it into Now. */
export const First = () => (
  <>
    <Head title="Now" hasRange />
    <h2>Sluice is up. Send the first request.</h2>
  </>
)
