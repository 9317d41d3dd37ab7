-- Stores requests, then the commands that submit them. ARGV: entry, seconds, then id and request of each.
-- A request that is stored may be an accepted job's by now: it stays as it is.
for i = 3, #ARGV, 2 do call('SET', S .. ':b:' .. ARGV[i], ARGV[i + 1], 'NX', 'EX', ARGV[2]) end
return call('XADD', S .. ':inbox', '*', 'c', ARGV[1])
