-- digest, key id, session, ms, most of a key, most of all, now. Returns -1, or how many unused ones the key has.
local digest, key_id, session, ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local sessions, ends, unused = S .. ':tickets', S .. ':tickets:ends', S .. ':tickets:unused'
local now = tonumber(ARGV[7])

local function drop(ticket)
  local stored = call('HGET', sessions, ticket)
  call('ZREM', ends, ticket)
  if not stored then return end
  call('HDEL', sessions, ticket)
  local id = cjson.decode(stored).keyId
  if call('HINCRBY', unused, id, -1) <= 0 then call('HDEL', unused, id) end
end

-- A burst is cleared away by several later ones
for _, ticket in ipairs(call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 100)) do drop(ticket) end
local count = tonumber(call('HGET', unused, key_id) or 0)
if count >= tonumber(ARGV[5]) then return count end
if call('ZCARD', ends) >= tonumber(ARGV[6]) then drop(call('ZRANGE', ends, 0, 0)[1]) end
call('HSET', sessions, digest, session)
call('ZADD', ends, string.format('%.0f', now + ms), digest)
call('HINCRBY', unused, key_id, 1)
-- Where nobody issues another one, all are gone some time after the last
for _, name in ipairs({ sessions, ends, unused }) do call('PEXPIRE', name, 2 * ms) end
return -1
