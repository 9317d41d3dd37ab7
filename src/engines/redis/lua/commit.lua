-- include room
-- include log
-- include jobs
-- include conversations
-- One commit of the coordinator: what it decided is stored, and then told, all of it or nothing. ARGV: term, number of
-- the commit, the term's epoch of logs, random, first inbox entry to keep ('' all); then five sections, each with its
-- count first. Returns 'ok' and the processes that nobody hears for any more; 'in': this very commit is stored already;
-- 'fenced'; 'other': this is another server than the one that elected it.
local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end

local term, number, of_epoch, random, keep = take(), tonumber(take()), take(), take(), take()
local fence = call('GET', S .. ':fence')
local next_fence = string.format('%s:%.0f', term, number + 1)
if fence == next_fence then return { 'in' } end
if fence ~= string.format('%s:%.0f', term, number) then return { 'fenced', tostring(fence) } end
-- What was decided may rest on what another server has lost
if log_epoch(random) ~= tonumber(of_epoch) then return { 'other' } end
call('SET', S .. ':fence', next_fence)
if keep ~= '' then call('XTRIM', S .. ':inbox', 'MINID', keep) end

-- Changes: how many arguments, a command, its key.
for _ = 1, take() do
  local count, verb, key = tonumber(take()), take(), take()
  call(verb, S .. ':' .. key, unpack(ARGV, at + 1, at + count))
  at = at + count
end

-- Jobs that were accepted, and are in live already.
for _ = 1, take() do
  local id, key, value = take(), take(), take()
  job_taken(id, key, value)
  local conversation = take()
  if conversation ~= '' then
    local tenant, seq, at_ms, state, place = take(), take(), take(), take(), take()
    conversation_accepted(id, tenant, conversation, seq, at_ms, state, place)
  end
end

-- Jobs that ended. What all of them need is read, and indexed, in one call for all.
local over, ended = {}, {}
for i = 1, take() do
  over[i] = {
    id = take(), record = take(), tenant = take(), seq = take(), state = take(), at_ms = take(), text = take(),
    body_bytes = take(), keep_ms = take(), key = take(), join = take(), join_ms = take(), conversation = take(),
    attempt = take(),
  }
  ended[i] = over[i].id
end
if #ended > 0 then
  local rows, followers, index = read_all(S .. ':live', ended), read_all(log_followers, ended), jobs_index()
  for i, job in ipairs(over) do
    local epoch, head, chunks = log_end(job.id, job.record, random, followers[i] or '')
    if rows[i] then job_ended(job, rows[i], epoch, head, chunks, index) end
    if job.conversation ~= '' then
      conversation_ended(job.id, job.tenant, job.conversation, job.seq, job.state, job.at_ms, job.attempt)
    end
  end
  jobs_indexed(index)
  for _, of in ipairs({ ':live', ':run', ':ttft' }) do write_all('HDEL', S .. of, ended) end
end

local unheard = { 'ok' }
local function tell(process, message)
  if call(PUBLISH, S .. ':p:' .. process, message) == 0 then unheard[#unheard + 1] = process end
end

-- Leases of a process: a message, and for each lease its job, whether its request goes with it, and whether there may
-- be text of it.
for _ = 1, take() do
  local process, message = take(), take()
  local ids, bodies, tips, wanted = {}, {}, {}, {}
  for i = 1, take() do
    ids[i] = take()
    if take() == '1' then
      bodies[#bodies + 1] = S .. ':b:' .. ids[i]
      wanted[i] = #bodies
    end
    tips[i] = take() == '1'
  end
  if #bodies > 0 then bodies = call('MGET', unpack(bodies)) end
  local parts, n, enclosed = { message, '\n' }, 2, {}
  for i, id in ipairs(ids) do
    local body = wanted[i] and bodies[wanted[i]]
    local head = tips[i] and log_tip(id) or 0
    local ttft = head > 0 and call('HGET', S .. ':ttft', id) or '-'
    n = n + 1
    parts[n] = string.format(i > 1 and ',%d %.0f %s' or '%d %.0f %s', body and #body or -1, head, ttft)
    if body then enclosed[#enclosed + 1] = body end
  end
  parts[n + 1] = '\n'
  for i, body in ipairs(enclosed) do parts[n + 1 + i] = body end
  tell(process, table.concat(parts))
end

-- What else processes are told.
for _ = 1, take() do tell(take(), take()) end
return unheard
