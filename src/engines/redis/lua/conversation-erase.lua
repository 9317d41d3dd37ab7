-- include room
-- include conversations
-- tenant, id, job. The job has ended, and is erased.
local seq = call('ZSCORE', S .. ':ct:' .. conversation_name(ARGV[1], ARGV[2]), ARGV[3])
conversation_erased(ARGV[3], ARGV[1], ARGV[2], seq)
