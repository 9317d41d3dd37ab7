import { Head } from '../../parts/head.tsx'

export const Job = () => <Head title="Job" />
