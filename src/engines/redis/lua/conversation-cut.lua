-- include room
-- include conversations
-- tenant, id, first seq, last seq, most turns, most bytes. Removes turns, the newest first, and stays below what Redis
-- frees in a moment. Returns how many.
local tenant, most_bytes = ARGV[1], tonumber(ARGV[6])
local name = conversation_name(tenant, ARGV[2])
local jobs = call('ZREVRANGEBYSCORE', S .. ':ct:' .. name, ARGV[4], ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[5])
local removed, bytes = 0, 0
for i = 1, #jobs, 2 do
  bytes = bytes + turn_bytes(name, jobs[i])
  if i > 1 and bytes > most_bytes then break end
  turn_removed(name, tenant, jobs[i], jobs[i + 1])
  removed = removed + 1
end
return removed
