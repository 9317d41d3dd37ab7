-- What a commit does for a job beside its rows in live and run. Included by the commit's script.

-- Indexes and keys of an ended job, beside its texts.
local JOB_BYTES = 1024
-- The sweep removes jobs. What nothing is to be kept of expires as well, should nobody be there to sweep.
local BACKSTOP_MS = 3600000
-- How long a job of which nothing is kept waits for the next sign of a reader.
local LEAVING_MS = 3000

-- It is taken: its request stays, and its idempotency key is its own.
local function job_taken(id, key, value)
  call('PERSIST', S .. ':b:' .. id)
  if key ~= '' then call('SET', key, value) end
end

-- A script unpacks no more than about 8,000 values.
local AT_ONCE = 2000

local function write_all(verb, key, values)
  for from = 1, #values, AT_ONCE do call(verb, key, unpack(values, from, math.min(from + AT_ONCE - 1, #values))) end
end

-- The fields of a hash, in their order.
local function read_all(key, fields)
  if #fields <= AT_ONCE then return call('HMGET', key, unpack(fields)) end
  local values = {}
  for i, field in ipairs(fields) do values[i] = call('HGET', key, field) end
  return values
end

-- What jobs that end in one commit add to the indexes: members after their scores, by key; bytes by tenant.
local function jobs_index()
  return { scored = {}, bytes = {} }
end

local function jobs_add(index, key, score, member)
  local members = index.scored[key]
  if not members then
    members = {}
    index.scored[key] = members
  end
  local n = #members
  members[n + 1], members[n + 2] = score, member
end

local function jobs_indexed(index)
  for key, members in pairs(index.scored) do write_all('ZADD', S .. key, members) end
  for tenant, bytes in pairs(index.bytes) do call('HINCRBY', S .. ':bytes', tenant, string.format('%.0f', bytes)) end
end

-- It has ended, and its log is whole, with so many chunks; its text is still in live. `keep_ms`: retention, '' for
-- ever. What is indexed of it is for jobs_indexed.
local function job_ended(job, live, epoch, head, chunks, index)
  local id, tenant, seq, keep_ms = job.id, job.tenant, job.seq, job.keep_ms
  local body, log, row = S .. ':b:' .. id, S .. ':l:' .. id, S .. ':r:' .. id
  local log_bytes = chunks == 1 and #job.record or call('MEMORY', 'USAGE', log) or 0
  local bytes = JOB_BYTES + #live + #job.text + job.body_bytes + log_bytes
  local stored = string.format('%.0f %.0f %.0f\n%s\n%s', bytes, epoch, head, live, job.text)
  call('SET', row, stored)
  if keep_ms == '0' then
    for _, name in ipairs({ body, log, row }) do call('PEXPIRE', name, BACKSTOP_MS) end
    if job.key ~= '' then call('PEXPIRE', job.key, BACKSTOP_MS) end
  end
  jobs_add(index, ':jobs', seq, id)
  jobs_add(index, ':jobs:' .. tenant, seq, id)
  if job.state ~= 'done' then
    jobs_add(index, ':bad', seq, id)
    jobs_add(index, ':bad:' .. tenant, seq, id)
  end
  jobs_add(index, ':ends:' .. tenant, job.at_ms, string.format('%s:%.0f', id, bytes))
  index.bytes[tenant] = (index.bytes[tenant] or 0) + bytes
  if keep_ms == '0' then jobs_add(index, ':leaving', job.at_ms + LEAVING_MS, id) end
  if job.join ~= '' then call('SET', S .. ':j:' .. job.join, id .. ' ' .. job.at_ms, 'PX', job.join_ms) end
end
