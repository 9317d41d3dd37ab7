-- include put
-- include conversations
-- A job that has not ended: what it has is among the changes. ARGV: see put; id, seq, and tenant and conversation, where
-- it is of one.
local id, seq, tenant, conversation = unpack(ARGV, at + 1)
if conversation then call('ZADD', S .. ':cj:' .. conversation_name(tenant, conversation), seq, id) end
return 'ok'
