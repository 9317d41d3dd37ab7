-- include room
-- include conversations
-- tenant, id, seq. Ends a deletion of what came up to that seq: all of that is gone. What came later starts it anew.
-- Returns whether there was one.
local tenant, id = ARGV[1], ARGV[2]
local name = conversation_name(tenant, id)
local info = S .. ':c:' .. name
if call('EXISTS', info) == 0 then return 0 end
local later = call('ZCOUNT', S .. ':cj:' .. name, '(' .. ARGV[3], '+inf')
if later > 0 or call('ZCARD', S .. ':ct:' .. name) > 0 then
  call('HDEL', info, 'name')
  conversation_begin_again(name)
else
  for _, kind in ipairs({ ':c:', ':ct:', ':cm:', ':cj:', ':cx:' }) do call('UNLINK', S .. kind .. name) end
  local scope = scope_of(id)
  if scope then call('ZREM', tenant_list(tenant, scope), id) end
  call('ZREM', tenant_list(tenant, ''), id)
  call('SREM', S .. ':cg', name)
  if call('EXISTS', tenant_list(tenant, '')) == 0 then call('HDEL', S .. ':cb', tenant) end
end
conversation_news(name, 'deleted', function() return '' end)
return 1
