-- include conversations
-- tenant, most. Returns {id, when it was updated, 1 where a job of it has not ended}, the one that rests longest first.
local found = {}
for _, id in ipairs(call('ZRANGE', tenant_list(ARGV[1], ''), 0, ARGV[2] - 1)) do
  local name = conversation_name(ARGV[1], id)
  found[#found + 1] = { id, call('HGET', S .. ':c:' .. name, 'updated'), call('EXISTS', S .. ':cj:' .. name) }
end
return found
