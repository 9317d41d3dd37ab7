-- include put
-- include conversations
-- A turn of elsewhere. ARGV: see put; tenant, conversation, job, seq, state, messages, bytes up to the end of their
-- instructions, answer.
local tenant, conversation, job, seq, state, messages, instructions, answer = unpack(ARGV, at + 1)
local name = conversation_name(tenant, conversation)
local turn = turn_text(state, messages, instructions, answer)
call('ZADD', S .. ':ct:' .. name, seq, job)
call('HSET', S .. ':cm:' .. name, job, turn)
conversation_count(name, tenant, 1, #turn + TURN_BYTES)
return call('SADD', S .. ':cg', name)
