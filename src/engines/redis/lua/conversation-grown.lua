-- include room
-- What a sweep did not finish is looked at again. ARGV: the set of those that grew, and of those that are looked at.
call('SUNIONSTORE', ARGV[1], ARGV[1], ARGV[2])
return call('DEL', ARGV[2])
