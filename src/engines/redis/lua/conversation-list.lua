-- include conversations
-- tenant, scope, seq of the last one before or '', most. Returns {id, seq, name, created, updated, turns} of each.
local tenant, before, most = ARGV[1], ARGV[3], tonumber(ARGV[4])
local from = before == '' and '+inf' or '(' .. before
local ids = call('ZREVRANGEBYSCORE', tenant_list(tenant, ARGV[2]), from, '-inf', 'WITHSCORES', 'LIMIT', 0, most)
local found = {}
for i = 1, #ids, 2 do
  local info = S .. ':c:' .. conversation_name(tenant, ids[i])
  local of = call('HMGET', info, 'name', 'created', 'updated', 'turns')
  found[#found + 1] = { ids[i], ids[i + 1], of[1], of[2], of[3], of[4] }
end
return found
