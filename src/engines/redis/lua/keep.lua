-- include room
-- ARGV: key, text, seconds.
return call('SET', ARGV[1], ARGV[2], 'EX', ARGV[3])
