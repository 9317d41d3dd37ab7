-- offered, intake: the secrets that are stored; those that are offered, where there are none ('': none is).
call('SETNX', S .. ':secret', ARGV[1])
if ARGV[2] ~= '' then call('SETNX', S .. ':secret:intake', ARGV[2]) end
return { call('GET', S .. ':secret'), call('GET', S .. ':secret:intake') or '' }
