import { Head } from '../../parts/head.tsx'

export const Benchmarks = () => <Head title="Benchmarks" />
