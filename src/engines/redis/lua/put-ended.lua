-- include log
-- include jobs
-- A job that ended elsewhere: its request and its log are there, and its text is in live. ARGV: id, tenant, seq, state,
-- when it ended, the last line of its row, retention ms or '', idempotency key or '', join key's digest or '', ms.
local id, tenant, seq, state, at_ms, text, keep_ms, key, join, join_ms = unpack(ARGV)
local head, epoch = log_tip(id)
job_ended(id, tenant, seq, state, tonumber(at_ms), text, keep_ms, key, join, join_ms, string.format('%.0f', epoch),
  string.format('%.0f', head))
return call('HDEL', S .. ':live', id)
