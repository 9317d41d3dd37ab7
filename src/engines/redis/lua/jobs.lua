-- What a commit does for a job beside its rows in live and run. Included by the commit's script.

-- Indexes and keys of an ended job, beside its texts.
local JOB_BYTES = 1024
-- Expiries are a backstop: the sweep removes jobs long before.
local BACKSTOP_MS = 3600000
-- How long a job of which nothing is kept waits for the next sign of a reader.
local LEAVING_MS = 3000

-- It is taken: its request stays, and its idempotency key is its own.
local function job_taken(id, key, value)
  call('PERSIST', S .. ':b:' .. id)
  if key ~= '' then call('SET', key, value) end
end

-- It has ended, and its log is whole; its text is still in live. `keep_ms`: retention, '' for ever.
local function job_ended(id, tenant, seq, state, at_ms, text, keep_ms, key, join, join_ms, epoch, head)
  local live = call('HGET', S .. ':live', id)
  if not live then return end
  local body, log, row = S .. ':b:' .. id, S .. ':l:' .. id, S .. ':r:' .. id
  local bytes = JOB_BYTES + #live + #text
  for _, name in ipairs({ body, log }) do bytes = bytes + (call('MEMORY', 'USAGE', name) or 0) end
  call('SET', row, string.format('%.0f %s %s\n%s\n%s', bytes, epoch, head, live, text))
  call('ZADD', S .. ':jobs', seq, id)
  call('ZADD', S .. ':jobs:' .. tenant, seq, id)
  if state ~= 'done' then
    call('ZADD', S .. ':bad', seq, id)
    call('ZADD', S .. ':bad:' .. tenant, seq, id)
  end
  call('ZADD', S .. ':ends:' .. tenant, at_ms, string.format('%s:%.0f', id, bytes))
  call('HINCRBY', S .. ':bytes', tenant, string.format('%.0f', bytes))
  if keep_ms == '0' then call('ZADD', S .. ':leaving', at_ms + LEAVING_MS, id) end
  if keep_ms ~= '' then
    local expiry = string.format('%.0f', 2 * keep_ms + BACKSTOP_MS)
    for _, name in ipairs({ body, log, row }) do call('PEXPIRE', name, expiry) end
    if key ~= '' then call('PEXPIRE', key, expiry) end
  end
  if join ~= '' then call('SET', S .. ':j:' .. join, id .. ' ' .. at_ms, 'PX', join_ms) end
end
