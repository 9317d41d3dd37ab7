/** `node test/rabbitmq/main.ts [JOBS]`: a backlog of 50,000 jobs, worked off while RabbitMQ is killed once. */
import { workOff } from './backlog.ts'
import { NO_RABBITMQ, RabbitServer } from './server.ts'

if (NO_RABBITMQ) throw new Error('no RabbitMQ here: set SLUICE_TEST_RABBITMQ')
const rabbit = await RabbitServer.start()
try {
  const outcome = await workOff(rabbit, Number(process.argv[2] ?? 50_000), async () => {
    await new Promise((go) => setTimeout(go, 5_000))
    await rabbit.kill()
    await rabbit.restart()
  })
  console.log(outcome)
} finally {
  await rabbit.remove()
}
