-- What a commit does for the conversation of a job. Included by every script that changes one. A conversation:
--   c:<name>   hash: its info, the seq of its last turn and of the one that it began with, its instructions
--   ct:<name>  ZSET: jobs by seq, of its turns      cm:<name>  hash: job → turn
--   cj:<name>  ZSET: jobs by seq, not ended         cx:<name>  ZSET: the last jobs whose turn was removed
--   cn:<name>  channel of its news, told where somebody listens; cv counts the news of all
-- <name>: "<length of the tenant's name>:<tenant>:<id>". Of a tenant: cl:<length>:<tenant>:<scope>, its conversations
-- by their last seq, those of scope '' are all; cb, hash: tenant → bytes. cg: those that grew since the last sweep.

-- Beside its texts.
local TURN_BYTES = 256
local MAX_REMOVED = 256
local REMOVED_MS = 86400000

local function conversation_name(tenant, id) return #tenant .. ':' .. tenant .. ':' .. id end
local function tenant_list(tenant, scope) return S .. ':cl:' .. #tenant .. ':' .. tenant .. ':' .. scope end
-- Up to and including its first slash.
local function scope_of(id) return string.match(id, '^[^/]*/') end

local function conversation_news(name, news, text)
  local channel = S .. ':cn:' .. name
  if call('PUBSUB', NUMSUB, channel)[2] == 0 then return end
  call(PUBLISH, channel, string.format('%s %.0f\n', news, call('INCR', S .. ':cv')) .. text())
end

local function conversation_open(name, tenant, id, seq, at_ms)
  local info = S .. ':c:' .. name
  if call('HSETNX', info, 'created', at_ms) == 0 then return end
  call('HSET', info, 'updated', at_ms, 'last', seq, 'turns', 0, 'bytes', 0)
  call('ZADD', tenant_list(tenant, ''), seq, id)
  local scope = scope_of(id)
  if scope then call('ZADD', tenant_list(tenant, scope), seq, id) end
  call('HINCRBY', S .. ':cb', tenant, 0)
end

-- "<state> <bytes of the messages> <bytes up to the end of their instructions>\n" messages answer
local function turn_text(state, messages, instructions, answer)
  return string.format('%s %d %d\n', state, #messages, instructions) .. messages .. answer
end

local function instructions_of(turn)
  local _, line, size, last = string.find(turn, '^%a+ (%d+) (%d+)\n')
  last = tonumber(last)
  return last > 0 and string.sub(turn, line + 1, line + last) .. ']' or ''
end

-- Its instructions are those of this turn from now on; nil: of none.
local function conversation_begin(name, seq, turn)
  local info = S .. ':c:' .. name
  if not seq then call('HDEL', info, 'first', 'instructions')
  else call('HSET', info, 'first', seq, 'instructions', instructions_of(turn)) end
end

-- Begins anew with the oldest turn that is left.
local function conversation_begin_again(name)
  local oldest = call('ZRANGE', S .. ':ct:' .. name, 0, 0, 'WITHSCORES')
  local turn = oldest[1] and call('HGET', S .. ':cm:' .. name, oldest[1])
  conversation_begin(name, turn and oldest[2], turn)
end

local function conversation_count(name, tenant, turns, bytes)
  call('HINCRBY', S .. ':c:' .. name, 'turns', turns)
  bytes = string.format('%.0f', bytes)
  call('HINCRBY', S .. ':c:' .. name, 'bytes', bytes)
  call('HINCRBY', S .. ':cb', tenant, bytes)
end

local function conversation_accepted(id, tenant, conversation, seq, at_ms, state, place)
  local name = conversation_name(tenant, conversation)
  conversation_open(name, tenant, conversation, seq, at_ms)
  call('ZADD', S .. ':cj:' .. name, seq, id)
  conversation_news(name, 'submitted', function()
    return state .. '\n' .. place .. '\n' .. (call('HGET', S .. ':live', id) or '')
  end)
end

-- Its row and its request are there, and it is in live still.
local function conversation_ended(id, tenant, conversation, seq, state, at_ms, attempt)
  local name = conversation_name(tenant, conversation)
  call('ZREM', S .. ':cj:' .. name, id)
  local live = call('HGET', S .. ':live', id)
  if not live then return end
  conversation_open(name, tenant, conversation, seq, at_ms)
  local range = cjson.decode(live).j.s
  -- What is not there any more is no reason to have no end
  local messages = type(range) == 'table' and call('GETRANGE', S .. ':b:' .. id, range[1], range[2] - 1) or ''
  local instructions = messages ~= '' and range[3] or 0
  if messages == '' then messages = '[]' end
  local stored = S .. ':a:' .. id .. '.' .. attempt
  local answer = call('GET', stored) or ''
  call('UNLINK', stored)
  local turn = turn_text(state, messages, instructions, answer)
  local info = S .. ':c:' .. name
  if call('HGET', info, 'turns') == '0' then conversation_begin(name, seq, turn) end
  call('ZADD', S .. ':ct:' .. name, seq, id)
  call('HSET', S .. ':cm:' .. name, id, turn)
  call('HSET', info, 'updated', at_ms)
  if tonumber(seq) > tonumber(call('HGET', info, 'last')) then
    call('HSET', info, 'last', seq)
    call('ZADD', tenant_list(tenant, ''), seq, conversation)
    local scope = scope_of(conversation)
    if scope then call('ZADD', tenant_list(tenant, scope), seq, conversation) end
  end
  conversation_count(name, tenant, 1, #turn + TURN_BYTES)
  call('SADD', S .. ':cg', name)
  conversation_news(name, 'ended', function() return call('GET', S .. ':r:' .. id) or '' end)
end

local function turn_bytes(name, job) return call('HSTRLEN', S .. ':cm:' .. name, job) end

local function turn_removed(name, tenant, job, seq)
  local bytes = turn_bytes(name, job)
  if bytes == 0 then return end
  call('HDEL', S .. ':cm:' .. name, job)
  call('ZREM', S .. ':ct:' .. name, job)
  -- A page may be continued from it
  call('ZADD', S .. ':cx:' .. name, seq, job)
  call('ZREMRANGEBYRANK', S .. ':cx:' .. name, 0, -MAX_REMOVED - 1)
  call('PEXPIRE', S .. ':cx:' .. name, REMOVED_MS)
  conversation_count(name, tenant, -1, -(bytes + TURN_BYTES))
end

-- A job that ended is erased, and its turn with it. `seq`: of its turn; false: there is none.
local function conversation_erased(id, tenant, conversation, seq)
  local name = conversation_name(tenant, conversation)
  if seq then
    turn_removed(name, tenant, id, seq)
    -- Erased instructions no longer apply
    if call('HGET', S .. ':c:' .. name, 'first') == seq then conversation_begin_again(name) end
  end
  conversation_news(name, 'erased', function() return id end)
end
