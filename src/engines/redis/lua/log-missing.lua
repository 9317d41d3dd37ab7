-- include room
-- include log
-- ARGV: a random number, a job. Returns the epoch of logs, and 1 where the job has no log, and will not have one.
local id = ARGV[2]
local is_there = call('EXISTS', log_key(id)) == 1 or call('HEXISTS', S .. ':live', id) == 1
return { log_epoch(ARGV[1]), is_there and 0 or 1 }
