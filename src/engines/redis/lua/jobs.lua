-- What a commit does for a job beside its rows in live and run. Included by the commit's script.

-- Indexes and keys of an ended job, beside its texts.
local JOB_BYTES = 1024
-- The sweep removes jobs. What nothing is to be kept of expires as well, should nobody be there to sweep.
local BACKSTOP_MS = 3600000
-- How long a job of which nothing is kept waits for the next sign of a reader; `unread_ms` where it has had none.
local LEAVING_MS = 3000

-- It is taken: its idempotency key is its own, and its request stays, which expires where a gateway of the version
-- before has stored it.
local function job_taken(id, key, value)
  call('PERSIST', S .. ':b:' .. id)
  if key ~= '' then call('SET', key, value) end
end

-- A script unpacks no more than about 8,000 values.
local AT_ONCE = 2000

local function write_all(verb, key, values)
  for from = 1, #values, AT_ONCE do call(verb, key, unpack(values, from, math.min(from + AT_ONCE - 1, #values))) end
end

local function write_pairs(verb, pairs)
  for from = 1, #pairs, AT_ONCE do call(verb, unpack(pairs, from, math.min(from + AT_ONCE - 1, #pairs))) end
end

-- The fields of a hash, in their order.
local function read_all(key, fields)
  if #fields <= AT_ONCE then return call('HMGET', key, unpack(fields)) end
  local values = {}
  for i, field in ipairs(fields) do values[i] = call('HGET', key, field) end
  return values
end

-- Ended jobs whose index entries are not written yet, each as "<bytes> <seq> <when it ended> <state> <id> <tenant>";
-- state: d done, b not. Writing them together costs a fraction of writing those of each commit. Whoever reads or changes
-- an index writes them first.
local unfiled_key = S .. ':unfiled'
-- So many are written by a commit.
local MOST_UNFILED = 512

local function jobs_add(scored, key, score, member)
  local members = scored[key]
  if not members then
    members = {}
    scored[key] = members
  end
  local n = #members
  members[n + 1], members[n + 2] = score, member
end

local function jobs_filed(entries)
  local scored, by_tenant = {}, {}
  for _, entry in ipairs(entries) do
    local bytes, seq, at_ms, state, id, tenant = string.match(entry, '^(%d+) (%d+) (%d+) (%a) (%S+) (.*)$')
    jobs_add(scored, ':jobs', seq, id)
    jobs_add(scored, ':jobs:' .. tenant, seq, id)
    if state == 'b' then
      jobs_add(scored, ':bad', seq, id)
      jobs_add(scored, ':bad:' .. tenant, seq, id)
    end
    jobs_add(scored, ':ends:' .. tenant, at_ms, id .. ':' .. bytes)
    by_tenant[tenant] = (by_tenant[tenant] or 0) + bytes
  end
  for key, members in pairs(scored) do write_all('ZADD', S .. key, members) end
  for tenant, bytes in pairs(by_tenant) do call('HINCRBY', S .. ':bytes', tenant, string.format('%.0f', bytes)) end
end

local function jobs_file()
  local entries = call('LRANGE', unfiled_key, 0, -1)
  if #entries == 0 then return end
  jobs_filed(entries)
  call('UNLINK', unfiled_key)
end

-- `later`: entries may wait for others.
local function jobs_index(entries, later)
  if not later then return jobs_filed(entries) end
  local length = 0
  for from = 1, #entries, AT_ONCE do
    length = call('RPUSH', unfiled_key, unpack(entries, from, math.min(from + AT_ONCE - 1, #entries)))
  end
  if length >= MOST_UNFILED then jobs_file() end
end

-- Jobs have ended, and their logs are whole, with so many chunks; `live`, their texts, are still there. Of each job: id,
-- text: the last line of its row, body_bytes, filed: what of its entry in the indexes does not depend on bytes, keeps:
-- false where nothing is kept of it, at_ms, key: its idempotency key, join: its join key's digest, join_ms, the epoch
-- and head of its log, and its chunks.
local function jobs_ended(jobs, live, later)
  local rows, entries, leaving = {}, {}, {}
  for i, job in ipairs(jobs) do
    local id, text = job.id, live[i]
    if text then
      local log_bytes = job.chunks == 1 and #job.record or call('MEMORY', 'USAGE', S .. ':l:' .. id) or 0
      local bytes = JOB_BYTES + #text + #job.text + job.body_bytes + log_bytes
      local n = #rows
      rows[n + 1] = S .. ':r:' .. id
      rows[n + 2] = string.format('%.0f %.0f %.0f\n%s\n%s', bytes, job.epoch, job.head, text, job.text)
      -- A format would end at a zero byte of the tenant's name
      entries[#entries + 1] = string.format('%.0f ', bytes) .. job.filed
      if not job.keeps then leaving[#leaving + 1] = job end
      if job.join then call('SET', S .. ':j:' .. job.join, id .. ' ' .. job.at_ms, 'PX', job.join_ms) end
    end
  end
  write_pairs('MSET', rows)
  jobs_index(entries, later)
  for _, job in ipairs(leaving) do
    local stays_ms = job.unread_ms or 0
    local expires_ms = stays_ms + BACKSTOP_MS
    for _, name in ipairs({ ':b:', ':l:', ':r:' }) do call('PEXPIRE', S .. name .. job.id, expires_ms) end
    if job.key then call('PEXPIRE', job.key, expires_ms) end
    call('ZADD', S .. ':leaving', job.at_ms + math.max(stays_ms, LEAVING_MS), job.id)
  end
end
