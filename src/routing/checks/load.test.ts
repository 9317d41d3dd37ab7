import { expect, it } from 'vitest'
import { loadIn } from './load.ts'

const VLLM = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a/b"} 3.0
vllm:num_requests_running{engine="1",model_name="a/b"} 2.0
vllm:num_requests_waiting{engine="0",model_name="a/b"} 7.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="a/b",reason="capacity"} 7.0
vllm:kv_cache_usage_perc{engine="0",model_name="a/b"} 0.4
`

it.each([
  ['vLLM, of two ranks', VLLM, 5, 7],
  ['SGLang', 'sglang:num_running_reqs{model_name="m"} 8\nsglang:num_queue_reqs{model_name="m"} 4.0\n', 8, 4],
  ['llama.cpp', 'llamacpp:requests_processing 1\nllamacpp:requests_deferred 4\n', 1, 4],
  ['TGI', 'tgi_batch_current_size 6\ntgi_queue_size 0\ntgi_request_count 9\n', 6, 0],
  ['lines of Windows, a time stamp, spaces', 'tgi_queue_size \t 2 1700000000\r\ntgi_batch_current_size 1\r\n', 1, 2],
  ['labels with everything in them', 'sglang:num_queue_reqs{m="}\\" 5 {\\\\",n="x y"} 3e0', null, 3],
  ['a label with a quote', 'tgi_queue_size{a="\\"}"} 6', null, 6],
  ['half of it', 'tgi_queue_size 2', null, 2],
  ['nothing', '', null, null],
  ['no numbers', '<html>tgi_queue_size 2</html>\ntgi_queue_size NaN\ntgi_queue_size -4\ntgi_queue_size', null, null],
  ['a name that only begins so', 'tgi_queue_size_total 2\nvllm:num_requests_runningx 3\n', null, null],
  ['more than there can be', `tgi_queue_size ${'9'.repeat(24)}\ntgi_queue_size 1e300\n`, null, 1_000_000],
  ['labels that never end', 'tgi_queue_size{a="b', null, null],
  ['more digits than a number has', `tgi_queue_size ${'1'.repeat(1_000)}\n`, null, null],
])('%s', (_, text, running, waiting) => {
  expect(loadIn(text)).toEqual({ running, waiting })
})

it('takes time in proportion to the text, whatever it is', () => {
  const hostile = ['v', 'v\n', 'tgi_queue_size{', 'tgi_queue_size{"', '"\\', 'tgi_queue_size  \t', 't', '\n']
  const took = (piece: string, bytes: number): number => {
    const text = piece.repeat(Math.ceil(bytes / piece.length))
    const { user, system } = process.cpuUsage()
    loadIn(text)
    const after = process.cpuUsage()
    return (after.user + after.system - user - system) / 1_000
  }
  // Quadratic would be minutes
  for (const piece of hostile) expect(took(piece, 1_000_000), piece).toBeLessThan(2_000)
})
