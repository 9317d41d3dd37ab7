-- include put
-- include log
-- include jobs
-- A job that ended elsewhere: its request, its log, and its text in live, are among the changes. ARGV: see put; id,
-- tenant, seq, state, when it ended, the last line of its row, bytes of its request, retention ms or '', idempotency key
-- or '', join key's digest or '', ms.
local job = {
  id = take(), tenant = take(), seq = take(), state = take(), at_ms = take(), text = take(), body_bytes = take(),
  keep_ms = take(), key = take(), join = take(), join_ms = take(),
}
local live, index = call('HGET', S .. ':live', job.id), jobs_index()
local head, epoch = log_tip(job.id)
job_ended(job, live, epoch, head, 0, index)
jobs_indexed(index)
return call('HDEL', S .. ':live', job.id)
