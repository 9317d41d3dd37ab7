-- include put
-- include log
-- include jobs
-- A job that ended elsewhere: its request, its log, and its text in live, are among the changes. ARGV: see put; id, what
-- of its entry in the indexes does not depend on bytes, when it ended, the last line of its row, bytes of its request,
-- '1' where something is kept of it, idempotency key or '', join key's digest or '', ms.
local function filled(text)
  return text ~= '' and text or nil
end
local job = {
  id = take(), filed = take(), at_ms = take(), text = take(), body_bytes = take(), keeps = take() == '1',
  key = filled(take()), join = filled(take()), join_ms = take(), chunks = 0,
}
job.head, job.epoch = log_tip(job.id)
jobs_ended({ job }, { call('HGET', S .. ':live', job.id) }, false)
return call('HDEL', S .. ':live', job.id)
