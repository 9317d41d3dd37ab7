-- include room
-- include log
-- ARGV: a process, ids of logs that it no longer follows.
for i = 2, #ARGV do log_drop(ARGV[i], ARGV[1]) end
