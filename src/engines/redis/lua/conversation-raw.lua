-- include conversations
-- tenant, id, how many turns to leave out, most. Returns {job, seq, turn, job, seq, turn …}, the oldest first.
local name = conversation_name(ARGV[1], ARGV[2])
local from, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local jobs = call('ZRANGE', S .. ':ct:' .. name, from, from + most - 1, 'WITHSCORES')
local found = {}
for i = 1, #jobs, 2 do
  found[#found + 1] = jobs[i]
  found[#found + 1] = jobs[i + 1]
  found[#found + 1] = call('HGET', S .. ':cm:' .. name, jobs[i]) or ''
end
return found
