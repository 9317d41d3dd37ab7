-- include room
-- ARGV: an entry of the inbox.
return call('XADD', S .. ':inbox', '*', 'c', ARGV[1])
