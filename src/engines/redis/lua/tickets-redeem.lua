-- digest, now. Returns its session, or false: unknown, used, or too old.
local digest = ARGV[1]
local sessions, ends, unused = S .. ':tickets', S .. ':tickets:ends', S .. ':tickets:unused'
local session = call('HGET', sessions, digest)
if not session then return false end
local until_ms = tonumber(call('ZSCORE', ends, digest) or 0)
call('HDEL', sessions, digest)
call('ZREM', ends, digest)
local id = cjson.decode(session).keyId
if call('HINCRBY', unused, id, -1) <= 0 then call('HDEL', unused, id) end
return until_ms > tonumber(ARGV[2]) and session
