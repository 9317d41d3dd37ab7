import { Head } from '../../parts/head.tsx'

export const Changes = () => <Head title="Changes" />
