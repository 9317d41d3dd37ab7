-- offered: the secret that is stored; the one that is offered, where there is none.
call('SETNX', S .. ':secret', ARGV[1])
return call('GET', S .. ':secret')
