-- include conversations
-- ARGV: tenant, conversation, job, seq: a job of it that has not ended.
return call('ZADD', S .. ':cj:' .. conversation_name(ARGV[1], ARGV[2]), ARGV[4], ARGV[3])
