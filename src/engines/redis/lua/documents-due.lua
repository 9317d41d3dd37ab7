-- include documents
-- kind, now, most, bytes. The longest due first: see texts.
local due = call('ZRANGE', documents(ARGV[1]) .. ':due', '-inf', ARGV[2], 'BYSCORE', 'LIMIT', 0, ARGV[3])
return texts(ARGV[1], due, ARGV[4])
