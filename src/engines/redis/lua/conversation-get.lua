-- include conversations
-- tenant, id. Returns {name, created, updated, turns, instructions}, or false.
local info = S .. ':c:' .. conversation_name(ARGV[1], ARGV[2])
local found = call('HMGET', info, 'name', 'created', 'updated', 'turns', 'instructions')
return found[2] and found
