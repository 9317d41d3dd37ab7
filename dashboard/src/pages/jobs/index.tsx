import { Head } from '../../parts/head.tsx'

export const Jobs = () => <Head title="Jobs" />
