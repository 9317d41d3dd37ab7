-- include room
-- include log
-- include jobs
-- include conversations
-- One commit of the coordinator: what it decided is stored, and then told, all of it or nothing. ARGV: term, number of
-- the commit, random, first inbox entry to keep ('' all); then five sections, each with its count first.
-- Returns 'ok' and the processes that nobody hears for any more; 'in': this very commit is stored already; 'fenced'.
local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end

local term, number, random, keep = take(), tonumber(take()), take(), take()
local fence = call('GET', S .. ':fence')
local next_fence = string.format('%s:%.0f', term, number + 1)
if fence == next_fence then return { 'in' } end
if fence ~= string.format('%s:%.0f', term, number) then return { 'fenced', tostring(fence) } end
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

-- Jobs that ended.
local ended = {}
for _ = 1, take() do
  local id, record, tenant, seq, state, at_ms, text = take(), take(), take(), take(), take(), take(), take()
  local keep_ms, key, join, join_ms, conversation, attempt = take(), take(), take(), take(), take(), take()
  local epoch, head = log_end(id, record, random)
  epoch, head = string.format('%.0f', epoch), string.format('%.0f', head)
  job_ended(id, tenant, seq, state, at_ms, text, keep_ms, key, join, join_ms, epoch, head)
  if conversation ~= '' then conversation_ended(id, tenant, conversation, seq, state, at_ms, attempt) end
  ended[#ended + 1] = id
end
if #ended > 0 then
  call('HDEL', S .. ':live', unpack(ended))
  call('HDEL', S .. ':run', unpack(ended))
  call('HDEL', S .. ':ttft', unpack(ended))
end

local unheard = { 'ok' }
local function tell(process, message)
  if call(PUBLISH, S .. ':p:' .. process, message) == 0 then unheard[#unheard + 1] = process end
end

-- Leases of a process: a message, and for each lease its job and whether its request goes with it.
for _ = 1, take() do
  local process, message = take(), take()
  local notes, bodies = {}, {}
  for _ = 1, take() do
    local id, with_body = take(), take()
    local body = with_body == '1' and call('GET', S .. ':b:' .. id)
    local head = log_tip(id)
    local ttft = head > 0 and call('HGET', S .. ':ttft', id) or '-'
    notes[#notes + 1] = string.format('%d %.0f %s', body and #body or -1, head, ttft)
    if body then bodies[#bodies + 1] = body end
  end
  tell(process, message .. '\n' .. table.concat(notes, ',') .. '\n' .. table.concat(bodies))
end

-- What else processes are told.
for _ = 1, take() do tell(take(), take()) end
return unheard
