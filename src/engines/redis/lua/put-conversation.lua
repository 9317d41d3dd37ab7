-- include put
-- include conversations
-- A conversation of elsewhere, without its turns. ARGV: see put; tenant, id, when it was created, and updated, seq of
-- its last turn, seq of the turn that it began with or '', instructions or '', and its name, if it has one.
local tenant, id, created, updated, last, first, instructions, name = unpack(ARGV, at + 1)
local info = S .. ':c:' .. conversation_name(tenant, id)
call('HSET', info, 'created', created, 'updated', updated, 'last', last, 'turns', 0, 'bytes', 0)
if name then call('HSET', info, 'name', name) end
if first ~= '' then call('HSET', info, 'first', first, 'instructions', instructions) end
call('ZADD', tenant_list(tenant, ''), last, id)
local scope = scope_of(id)
if scope then call('ZADD', tenant_list(tenant, scope), last, id) end
return call('HINCRBY', S .. ':cb', tenant, 0)
