-- id.
call('HDEL', S .. ':nodes', ARGV[1])
return call('HDEL', S .. ':nodes:absent', ARGV[1])
