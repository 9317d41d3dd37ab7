-- include room
-- Jobs that are still read: they leave later. ARGV: time, ids.
for i = 2, #ARGV do call('ZADD', S .. ':leaving', 'XX', 'GT', ARGV[1], ARGV[i]) end
