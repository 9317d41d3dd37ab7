-- include log
-- include jobs
-- A job that ended elsewhere: its request and its log are there, and its text is in live. ARGV: id, tenant, seq, state,
-- when it ended, the last line of its row, bytes of its request, retention ms or '', idempotency key or '', join key's
-- digest or '', ms.
local job = {
  id = ARGV[1], tenant = ARGV[2], seq = ARGV[3], state = ARGV[4], at_ms = ARGV[5], text = ARGV[6],
  body_bytes = ARGV[7], keep_ms = ARGV[8], key = ARGV[9], join = ARGV[10], join_ms = ARGV[11],
}
local live, index = call('HGET', S .. ':live', job.id), jobs_index()
local head, epoch = log_tip(job.id)
job_ended(job, live, epoch, head, 0, index)
jobs_indexed(index)
return call('HDEL', S .. ':live', job.id)
