-- entry most: what an operator has changed; the newest `most` are kept.
call('LPUSH', S .. ':audit', ARGV[1])
call('LTRIM', S .. ':audit', 0, ARGV[2] - 1)
