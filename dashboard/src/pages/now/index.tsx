import { Head } from '../../parts/head.tsx'

export const Now = () => <Head title="Now" hasSearch hasRange />
