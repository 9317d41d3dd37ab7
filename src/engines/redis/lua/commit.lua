-- include room
-- include log
-- include jobs
-- include used
-- include conversations
-- One commit of the coordinator: what it decided is stored, and then told, all of it or nothing. ARGV: term, number of
-- the commit, the term's epoch of logs, random, first inbox entry to keep ('' all); then six sections, each with its
-- count first. Returns 'ok' and the processes that nobody hears for any more; 'in': this very commit is stored already;
-- 'fenced'; 'other': this is another server than the one that elected it.
local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end
local function filled(text)
  return text ~= '' and text or nil
end

local term, number, of_epoch, random, keep = take(), tonumber(take()), take(), take(), take()
local fence = call('GET', S .. ':fence')
local of, expected = string.match(fence or '', '^(.*):(%d+)$')
if of ~= term or tonumber(expected) < number then return { 'fenced', tostring(fence) } end
if tonumber(expected) > number then return { 'in' } end
-- What was decided may rest on what another server has lost
if log_epoch(random) ~= tonumber(of_epoch) then return { 'other' } end
if keep ~= '' then call('XTRIM', S .. ':inbox', 'MINID', keep) end

-- Changes: how many arguments, a command, its key.
for _ = 1, take() do
  local count, verb, key = tonumber(take()), take(), take()
  call(verb, S .. ':' .. key, unpack(ARGV, at + 1, at + count))
  at = at + count
end

-- What attempts came to: of each tenant, its records; then a day, how many sums of a tenant are begun in one, its
-- groups, and what is added to each.
local tenants = tonumber(take())
if tenants > 0 then
  for _ = 1, tenants do call('XADD', S .. ':use:log', '*', take(), take()) end
  local day, most, groups, added = take(), tonumber(take()), {}, {}
  for i = 1, take() do groups[i], added[i] = take(), take() end
  used_add(day, most, groups, added)
end

-- Of jobs that were accepted, and are in live already, those of which more is stored.
for _ = 1, take() do
  local id, key, value = take(), take(), take()
  job_taken(id, key, value)
  local conversation = take()
  if conversation ~= '' then
    local tenant, seq, at_ms, state, place = take(), take(), take(), take(), take()
    conversation_accepted(id, tenant, conversation, seq, at_ms, state, place)
  end
end

-- Jobs that ended; first whether their index entries may wait. What all of them need is read, and written, in one call
-- for all. `about`: what most of them have not.
local over, ended = {}, {}
local later = take() == '1'
for i = 1, take() do
  local job = {
    id = ARGV[at + 1], record = ARGV[at + 2], text = ARGV[at + 3], body_bytes = ARGV[at + 4], filed = ARGV[at + 5],
    keeps = true, epoch = 0, head = 0, chunks = 0,
  }
  local about = ARGV[at + 6]
  at = at + 6
  job.empty = about == 'e'
  if about == 'x' then
    job.empty, job.keeps, job.unread_ms, job.at_ms = take() == '1', take() == '1', tonumber(take()), take()
    job.key, job.join, job.join_ms = filled(take()), filled(take()), take()
    job.conversation, job.tenant, job.seq, job.state, job.attempt = filled(take()), take(), take(), take(), take()
  end
  over[i], ended[i] = job, job.id
end
if #ended > 0 then
  local rows, followers = read_all(S .. ':live', ended), read_all(log_followers, ended)
  for i, job in ipairs(over) do
    if followers[i] then job.unread_ms = 0 end
    job.epoch, job.head, job.chunks = log_end(job.id, job.record, random, followers[i] or '', job.empty)
  end
  jobs_ended(over, rows, later)
  for _, job in ipairs(over) do
    if job.conversation then
      conversation_ended(job.id, job.tenant, job.conversation, job.seq, job.state, job.at_ms, job.attempt)
    end
  end
  for _, of in ipairs({ ':live', ':after', ':run', ':ttft' }) do write_all('HDEL', S .. of, ended) end
end

local unheard = { 'ok' }
local function tell(process, message)
  if call(PUBLISH, S .. ':p:' .. process, message) == 0 then unheard[#unheard + 1] = process end
end

-- Leases of a process: a message, whether rows go with it, and for each lease its job, whether its request goes with it,
-- and whether there may be text of it.
for _ = 1, take() do
  local process, message, with_rows = take(), take(), take() == '1'
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
  local rows = with_rows and call('HMGET', S .. ':live', unpack(ids))
  local parts, n, enclosed = { message, '\n' }, 2, {}
  for i, id in ipairs(ids) do
    local body = wanted[i] and bodies[wanted[i]]
    local head = tips[i] and log_tip(id) or 0
    local ttft = head > 0 and call('HGET', S .. ':ttft', id) or '-'
    n = n + 1
    parts[n] = string.format(i > 1 and ',%d %.0f %s' or '%d %.0f %s', body and #body or -1, head, ttft)
    if rows then
      parts[n] = parts[n] .. ' ' .. #(rows[i] or '')
      enclosed[#enclosed + 1] = rows[i] or ''
    end
    if body then enclosed[#enclosed + 1] = body end
  end
  parts[n + 1] = '\n'
  for i, body in ipairs(enclosed) do parts[n + 1 + i] = body end
  tell(process, table.concat(parts))
end

-- What else processes are told.
for _ = 1, take() do tell(take(), take()) end
-- Last: should a commit break off in its middle, the one that was sent after it is refused
call('SET', S .. ':fence', string.format('%s:%.0f', term, number + 1))
return unheard
