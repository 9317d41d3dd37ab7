import { Head } from '../../parts/head.tsx'

export const Playground = () => <Head title="Playground" />
