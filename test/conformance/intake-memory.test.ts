import { MemoryBroker } from '../intakes/memory.ts'
import { conformIntake } from './intake.ts'

conformIntake(async () => new MemoryBroker())
