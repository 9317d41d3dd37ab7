-- include room
-- include conversations
-- tenant, id, limit of turns, limit of bytes ('' none), most turns, most bytes of a step. Removes the oldest turns of
-- one that is above a limit, but not its newest. Returns how many; call again until there is none.
local tenant, most, most_bytes = ARGV[1], tonumber(ARGV[5]), tonumber(ARGV[6])
local name = conversation_name(tenant, ARGV[2])
local info = call('HMGET', S .. ':c:' .. name, 'turns', 'bytes')
if not info[1] then return 0 end
local turns, bytes = tonumber(info[1]), tonumber(info[2])
local max_turns, max_bytes = tonumber(ARGV[3]) or math.huge, tonumber(ARGV[4]) or math.huge
local jobs = call('ZRANGE', S .. ':ct:' .. name, 0, most - 1, 'WITHSCORES')
local removed, freed = 0, 0
for i = 1, #jobs, 2 do
  if (turns <= max_turns and bytes <= max_bytes) or turns <= 1 then break end
  local size = turn_bytes(name, jobs[i])
  if i > 1 and freed + size > most_bytes then break end
  turn_removed(name, tenant, jobs[i], jobs[i + 1])
  turns, bytes, freed, removed = turns - 1, bytes - size - TURN_BYTES, freed + size, removed + 1
end
if removed > 0 then conversation_news(name, 'truncated', function() return '' end) end
return removed
