import { Head } from '../../parts/head.tsx'

export const Tenants = () => <Head title="Tenants" />
