-- session.
return call('HDEL', S .. ':signin', ARGV[1])
