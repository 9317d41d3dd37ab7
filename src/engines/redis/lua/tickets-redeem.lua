-- digest. Returns its session, or false: unknown, used, or too old.
local digest = ARGV[1]
local sessions, ends, unused = S .. ':tickets', S .. ':tickets:ends', S .. ':tickets:unused'
local session = call('HGET', sessions, digest)
if not session then return false end
local time = call('TIME')
local until_ms = tonumber(call('ZSCORE', ends, digest) or 0)
call('HDEL', sessions, digest)
call('ZREM', ends, digest)
local id = cjson.decode(session).keyId
if call('HINCRBY', unused, id, -1) <= 0 then call('HDEL', unused, id) end
return until_ms > time[1] * 1000 + math.floor(time[2] / 1000) and session
