-- include conversations
-- tenant, how many to leave out, most. Returns {id, seq of its last turn, seq of the turn that it began with,
-- instructions, name, created, updated} of each, the one that rests longest first.
local tenant, from, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ids = call('ZRANGE', tenant_list(tenant, ''), from, from + most - 1, 'WITHSCORES')
local found = {}
for i = 1, #ids, 2 do
  local info = S .. ':c:' .. conversation_name(tenant, ids[i])
  local of = call('HMGET', info, 'first', 'instructions', 'name', 'created', 'updated')
  found[#found + 1] = { ids[i], ids[i + 1], of[1], of[2], of[3], of[4], of[5] }
end
return found
