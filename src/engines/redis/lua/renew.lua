-- include room
-- include log
-- The coordinator's sign of life. ARGV: host, term, ttl ms, a random number. Returns the epoch of logs: another than
-- before, and history may have been lost. 0: it is not the coordinator any more.
local host, term = ARGV[1], ARGV[2]
local owner = call('GET', S .. ':owner')
local fence = call('GET', S .. ':fence') or ''
if (owner and owner ~= host) or string.sub(fence, 1, #term + 1) ~= term .. ':' then return 0 end
call('SET', S .. ':owner', host, 'PX', ARGV[3])
return log_epoch(ARGV[4])
