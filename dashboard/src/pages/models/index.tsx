import { Head } from '../../parts/head.tsx'

export const Models = () => <Head title="Models" />
